//! The receive step: reads a body within its bounds. An effect, though it knows nothing of events.
//!
//! Invariant: no byte is kept that was not reserved before, so all bodies together stay within one bound.

use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    http::{
        HeaderMap,
        header::{CONTENT_ENCODING, CONTENT_LENGTH},
    },
};
use http_body_util::BodyExt as _;
use metrics::gauge;
use schema::limits::MAX_BODY_BYTES;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

/// Why a body was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    #[error("the body has more than 10485760 bytes")]
    TooLarge,
    #[error("the body is compressed, which is not supported")]
    Encoding,
    #[error("the body took too long")]
    TooSlow,
    #[error("the body ended early")]
    Broken,
    #[error("too many requests are in flight; send it again")]
    Overloaded,
}

/// The bytes of bodies that may be in flight at a time.
#[derive(Debug, Clone)]
pub(crate) struct InFlight {
    free: Arc<Semaphore>,
    capacity: usize,
}

impl InFlight {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(capacity)), capacity }
    }

    fn reserve(&self, bytes: usize) -> Result<Reservation, Error> {
        let permits = u32::try_from(bytes).map_err(|_| Error::TooLarge)?;
        let permit = Arc::clone(&self.free).try_acquire_many_owned(permits).map_err(|_| Error::Overloaded)?;
        let reservation = Reservation { permit, in_flight: self.clone() };
        self.report();
        Ok(reservation)
    }

    fn report(&self) {
        gauge!("ingester_inflight_bytes").set((self.capacity - self.free.available_permits()) as f64);
    }
}

/// The bytes one request holds; dropping it gives them back.
#[derive(Debug)]
pub(crate) struct Reservation {
    permit: OwnedSemaphorePermit,
    in_flight: InFlight,
}

impl Reservation {
    fn grow_to(&mut self, bytes: usize) -> Result<(), Error> {
        let missing = bytes.saturating_sub(self.permit.num_permits());
        if missing > 0 {
            let permits = u32::try_from(missing).map_err(|_| Error::TooLarge)?;
            let more = Arc::clone(&self.in_flight.free).try_acquire_many_owned(permits);
            self.permit.merge(more.map_err(|_| Error::Overloaded)?);
            self.in_flight.report();
        }
        Ok(())
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        drop(self.permit.split(self.permit.num_permits()));
        self.in_flight.report();
    }
}

/// Reads a whole body. What its length says is reserved at once, so that a full house is told before a byte is
/// read; a body without a length is reserved as it comes.
///
/// # Errors
/// When the body is too large, compressed, too slow or cut off, or there is no room for it.
pub(crate) async fn receive(
    headers: &HeaderMap,
    body: &mut Body,
    in_flight: &InFlight,
    deadline: Duration,
) -> Result<(Vec<u8>, Reservation), Error> {
    let length = check_headers(headers)?;
    let mut reservation = in_flight.reserve(length)?;
    let bytes = timeout(deadline, collect(body, length, &mut reservation)).await;
    Ok((bytes.map_err(|_| Error::TooSlow)??, reservation))
}

/// How long the rest of a refused body is listened to.
const DISCARD_DEADLINE: Duration = Duration::from_secs(2);
/// How much of it: enough for a body that is only somewhat too large.
const DISCARD_BYTES: usize = 2 * MAX_BODY_BYTES;

/// Reads what is left of a refused body and keeps nothing of it. A connection that is closed while its client
/// still sends is reset, and the client would never see why it was refused, nor when to come again.
pub(crate) async fn discard(body: &mut Body) {
    let rest = async {
        let mut discarded = 0;
        while let Some(Ok(frame)) = body.frame().await {
            discarded += frame.data_ref().map_or(0, |data| data.len());
            if discarded > DISCARD_BYTES {
                break;
            }
        }
    };
    // What comes later than this is cut off: the refusal was known long before.
    let _ = timeout(DISCARD_DEADLINE, rest).await;
}

/// The length a body claims, 0 if it does not.
fn check_headers(headers: &HeaderMap) -> Result<usize, Error> {
    let is_plain = headers.get(CONTENT_ENCODING).is_none_or(|coding| {
        coding.as_bytes().eq_ignore_ascii_case(b"identity") || coding.as_bytes().is_empty()
    });
    if !is_plain {
        return Err(Error::Encoding);
    }
    let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    match length {
        Some(length) if length > MAX_BODY_BYTES => Err(Error::TooLarge),
        Some(length) => Ok(length),
        None => Ok(0),
    }
}

async fn collect(body: &mut Body, length: usize, reservation: &mut Reservation) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::with_capacity(length);
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Error::Broken)?.into_data() else { continue };
        let total = bytes.len() + data.len();
        if total > MAX_BODY_BYTES {
            return Err(Error::TooLarge);
        }
        reservation.grow_to(total)?;
        bytes.extend_from_slice(&data);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;
