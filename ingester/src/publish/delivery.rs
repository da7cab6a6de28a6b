//! Counts the acknowledgements of one request and wakes it once, however many records it has.

use std::sync::{
    Arc, Mutex, OnceLock, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::oneshot;

use super::{Acknowledgement, Error};

/// The records of one request that are under way.
#[derive(Debug)]
pub(crate) struct Delivery {
    outstanding: AtomicUsize,
    failure: OnceLock<Error>,
    answer: Mutex<Option<oneshot::Sender<Result<(), Error>>>>,
}

impl Delivery {
    /// A delivery of `records` records, and the promise that it keeps.
    pub(crate) fn of(records: usize) -> (Arc<Self>, Acknowledgement) {
        let (sender, receiver) = oneshot::channel();
        let delivery = Arc::new(Self {
            outstanding: AtomicUsize::new(records),
            failure: OnceLock::new(),
            answer: Mutex::new(Some(sender)),
        });
        if records == 0 {
            delivery.answer();
        }
        (delivery, Acknowledgement(receiver))
    }

    /// Takes the outcome of one record.
    pub(crate) fn settle(&self, outcome: Result<(), Error>) {
        if let Err(failure) = outcome {
            self.failure.get_or_init(|| failure);
        }
        if self.outstanding.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.answer();
        }
    }

    fn answer(&self) {
        let outcome = self.failure.get().map_or(Ok(()), |failure| Err(*failure));
        let sender = self.answer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(sender) = sender {
            // A client that has gone away left nobody to tell.
            let _ = sender.send(outcome);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_request_is_answered_after_its_last_record() {
        let (delivery, Acknowledgement(mut receiver)) = Delivery::of(2);
        delivery.settle(Ok(()));
        assert!(receiver.try_recv().is_err(), "one record is still under way");
        delivery.settle(Ok(()));
        assert_eq!(receiver.try_recv(), Ok(Ok(())));
    }

    #[tokio::test]
    async fn one_failed_record_fails_the_request() {
        let (delivery, acknowledgement) = Delivery::of(3);
        for outcome in [Ok(()), Err(Error::TimedOut), Ok(())] {
            delivery.settle(outcome);
        }
        assert_eq!(acknowledgement.wait().await, Err(Error::TimedOut));
    }

    #[tokio::test]
    async fn no_records_are_acknowledged_at_once() {
        assert_eq!(Delivery::of(0).1.wait().await, Ok(()));
    }

    #[tokio::test]
    async fn a_producer_that_ends_fails_the_request() {
        let (delivery, acknowledgement) = Delivery::of(1);
        drop(delivery);
        assert_eq!(acknowledgement.wait().await, Err(Error::Ended));
    }
}
