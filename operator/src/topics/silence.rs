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
    /// When the last answer came.
    answered: Option<Instant>,
}

#[derive(Debug)]
struct Met {
    cause: AdminError,
    last_try: Instant,
}

impl Silence {
    pub(super) fn new(pause: Duration) -> Self {
        Self { pause, met: None, answered: None }
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

    /// Kafka answered a call, whatever it said.
    pub(super) fn answered(&mut self, now: Instant) {
        (self.met, self.answered) = (None, Some(now));
    }

    /// Nobody answered a question that every broker answers. Where another call had an answer since this one began, it
    /// says nothing.
    pub(super) fn unanswered(&mut self, cause: AdminError, began: Instant, now: Instant) {
        if self.answered.is_none_or(|answered| answered < began) {
            self.met = Some(Met { cause, last_try: now });
        }
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
        silence.unanswered(cause.clone(), begin, begin + seconds(1));
        for after in [1, 2, 5] {
            assert_eq!(silence.admit(begin + seconds(after)), Err(cause.clone()), "{after} s");
        }
        assert_eq!(silence.admit(begin + seconds(6)), Ok(()), "this one tries");
        assert_eq!(silence.admit(begin + seconds(7)), Err(cause), "and no other beside it");
        silence.answered(begin + seconds(8));
        assert_eq!(silence.admit(begin + seconds(8)), Ok(()));
    }

    #[test]
    fn a_question_from_before_the_last_answer_says_nothing() {
        let (mut silence, begin) = (Silence::new(PAUSE), Instant::now());
        let cause = AdminError::new(Code::OperationTimedOut, "timed out");
        silence.answered(begin + seconds(2));
        silence.unanswered(cause.clone(), begin, begin + seconds(10));
        assert_eq!(silence.admit(begin + seconds(10)), Ok(()));
        silence.unanswered(cause, begin + seconds(3), begin + seconds(13));
        assert!(silence.admit(begin + seconds(13)).is_err());
    }

    #[test]
    fn a_refusal_is_an_answer() {
        for code in [Code::PolicyViolation, Code::UnknownTopicOrPartition, Code::TopicAuthorizationFailed] {
            assert!(!AdminError::new(code, "no").is_silence(), "{code:?}");
        }
        for code in [Code::OperationTimedOut, Code::AllBrokersDown, Code::Authentication, Code::SSL] {
            assert!(AdminError::new(code, "no").is_silence(), "{code:?}");
        }
    }
}
