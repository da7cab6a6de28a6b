//! What is known of a Kafka that does not answer. Pure: the clock is the caller's.
//!
//! A call to such a Kafka takes its whole deadline, and so would every look at a Pipeline, while others wait whose keys
//! were revoked. So one call after the other tries, and the rest fail at once with what the last one met.

use std::time::Duration;

use tokio::time::Instant;

use super::error::AdminError;

/// Whether Kafka answers, as the calls so far tell.
#[derive(Debug)]
pub(super) struct Silence {
    /// Between the beginnings of two calls that try.
    pause: Duration,
    met: Option<Met>,
}

#[derive(Debug)]
struct Met {
    cause: AdminError,
    last_try: Instant,
}

impl Silence {
    pub(super) fn new(pause: Duration) -> Self {
        Self { pause, met: None }
    }

    /// Lets a call begin, or gives the error that it would wait for.
    pub(super) fn admit(&mut self, now: Instant) -> Result<(), AdminError> {
        match &mut self.met {
            Some(met) if now.duration_since(met.last_try) < self.pause => Err(met.cause.clone()),
            Some(met) => {
                met.last_try = now;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Learns from the end of a call. Whatever an answer says, it is one.
    pub(super) fn learn<T>(&mut self, outcome: &Result<T, AdminError>, now: Instant) {
        self.met = match outcome {
            Err(cause) if cause.is_silence() => Some(Met { cause: cause.clone(), last_try: now }),
            Ok(_) | Err(_) => None,
        };
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::types::RDKafkaErrorCode as Code;

    use super::*;

    const PAUSE: Duration = Duration::from_secs(5);

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn while_kafka_is_silent_one_call_after_the_other_tries() {
        let (mut silence, begin) = (Silence::new(PAUSE), Instant::now());
        let cause = AdminError::new(Code::BrokerTransportFailure, "Connection refused");
        assert_eq!(silence.admit(begin), Ok(()));
        silence.learn::<()>(&Err(cause.clone()), begin);
        for after in [0, 1, 4] {
            assert_eq!(silence.admit(begin + seconds(after)), Err(cause.clone()), "{after} s");
        }
        assert_eq!(silence.admit(begin + seconds(5)), Ok(()), "this one tries");
        assert_eq!(silence.admit(begin + seconds(6)), Err(cause), "and no other beside it");
        silence.learn(&Ok(()), begin + seconds(7));
        assert_eq!(silence.admit(begin + seconds(7)), Ok(()));
    }

    #[test]
    fn a_refusal_is_an_answer() {
        let (mut silence, now) = (Silence::new(PAUSE), Instant::now());
        for code in [Code::PolicyViolation, Code::UnknownTopicOrPartition, Code::TopicAuthorizationFailed] {
            silence.learn::<()>(&Err(AdminError::new(code, "no")), now);
            assert_eq!(silence.admit(now), Ok(()), "{code:?}");
        }
        for code in [Code::OperationTimedOut, Code::AllBrokersDown, Code::Authentication, Code::SSL] {
            silence.learn::<()>(&Err(AdminError::new(code, "no")), now);
            assert!(silence.admit(now).is_err(), "{code:?}");
        }
    }
}
