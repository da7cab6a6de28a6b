//! Kafka's id of a topic as a UUID. Pure.

use schema::names::TopicId;
use uuid::Uuid;

use super::error::AdminError;

/// Java's two signed halves as the sixteen bytes of RFC 9562.
pub(super) fn topic_id(most_significant: i64, least_significant: i64) -> Result<TopicId, AdminError> {
    match Uuid::from_u64_pair(most_significant as u64, least_significant as u64) {
        id if id.is_nil() => Err(AdminError::without_topic_id()),
        id => Ok(TopicId(id)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_id_is_the_uuid_that_the_broker_prints() {
        // 5e5d2c35-9c1f-4f5b-b31a-0f0000000001 in two halves, the second one negative for Java.
        let id = topic_id(0x5e5d_2c35_9c1f_4f5b, 0xb31a_0f00_0000_0001_u64 as i64).unwrap();
        assert_eq!(id.to_string(), "5e5d2c35-9c1f-4f5b-b31a-0f0000000001");
    }

    #[test]
    fn a_broker_without_topic_ids_is_refused() {
        assert_eq!(topic_id(0, 0), Err(AdminError::without_topic_id()));
    }
}
