//! Counts the acknowledgements of one request and wakes it once, however many records it has.

use std::sync::{
    Arc, Mutex, MutexGuard, OnceLock, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::oneshot;

use super::{Acknowledgement, Error, Settled, Settlement};

/// The records of one request that are under way.
#[derive(Debug)]
pub(crate) struct Delivery {
    outstanding: AtomicUsize,
    failure: OnceLock<Error>,
    too_large: Mutex<Vec<usize>>,
    answer: Mutex<Option<oneshot::Sender<Result<Settled, Error>>>>,
}

impl Delivery {
    /// A delivery of `records` records, and the promise that it keeps.
    pub(crate) fn of(records: usize) -> (Arc<Self>, Acknowledgement) {
        let (sender, receiver) = oneshot::channel();
        let delivery = Arc::new(Self {
            outstanding: AtomicUsize::new(records),
            failure: OnceLock::new(),
            too_large: Mutex::default(),
            answer: Mutex::new(Some(sender)),
        });
        if records == 0 {
            delivery.answer();
        }
        (delivery, Acknowledgement(receiver))
    }

    /// Takes the outcome of the record at this place of the request.
    pub(crate) fn settle(&self, place: usize, settlement: Settlement) {
        match settlement {
            Settlement::Stored => {}
            Settlement::TooLarge => lock(&self.too_large).push(place),
            Settlement::Failed(failure) => {
                self.failure.get_or_init(|| failure);
            }
        }
        if self.outstanding.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.answer();
        }
    }

    fn answer(&self) {
        let outcome = match self.failure.get() {
            // The client sends all of it again, and then learns what is too large.
            Some(failure) => Err(*failure),
            None => Ok(Settled { too_large: std::mem::take(&mut *lock(&self.too_large)) }),
        };
        if let Some(sender) = lock(&self.answer).take() {
            // A client that has gone away left nobody to tell.
            let _ = sender.send(outcome);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_request_is_answered_after_its_last_record() {
        let (delivery, Acknowledgement(mut receiver)) = Delivery::of(2);
        delivery.settle(0, Settlement::Stored);
        assert!(receiver.try_recv().is_err(), "one record is still under way");
        delivery.settle(1, Settlement::Stored);
        assert_eq!(receiver.try_recv(), Ok(Ok(Settled::default())));
    }

    #[tokio::test]
    async fn one_failed_record_fails_the_request() {
        let (delivery, acknowledgement) = Delivery::of(3);
        let outcomes = [Settlement::TooLarge, Settlement::Failed(Error::TimedOut), Settlement::Stored];
        for (place, settlement) in outcomes.into_iter().enumerate() {
            delivery.settle(place, settlement);
        }
        assert_eq!(acknowledgement.wait().await, Err(Error::TimedOut));
    }

    #[tokio::test]
    async fn a_record_that_is_too_large_is_told_by_its_place() {
        let (delivery, acknowledgement) = Delivery::of(3);
        for (place, settlement) in
            [(2, Settlement::Stored), (1, Settlement::TooLarge), (0, Settlement::Stored)]
        {
            delivery.settle(place, settlement);
        }
        assert_eq!(acknowledgement.wait().await, Ok(Settled { too_large: vec![1] }));
    }

    #[tokio::test]
    async fn no_records_are_acknowledged_at_once() {
        assert_eq!(Delivery::of(0).1.wait().await, Ok(Settled::default()));
    }

    #[tokio::test]
    async fn a_producer_that_ends_fails_the_request() {
        let (delivery, acknowledgement) = Delivery::of(1);
        drop(delivery);
        assert_eq!(acknowledgement.wait().await, Err(Error::Ended));
    }
}
