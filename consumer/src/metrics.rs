//! The names of the consumer's metrics, and what they mean.

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge};

use crate::{refused::Refused, retry::Class};

pub(crate) const EVENTS_CONSUMED: &str = "analytics_events_consumed_total";
pub(crate) const BATCH_FLUSH_SECONDS: &str = "analytics_batch_flush_seconds";
pub(crate) const EVENTS_INSERTED: &str = "analytics_events_inserted_total";
/// Labels: `stage`, `reason`.
pub(crate) const PIPELINE_ERRORS: &str = "analytics_pipeline_errors_total";
/// Label: `outcome`, which is `stored` or the class of the failure.
pub(crate) const INSERTS: &str = "consumer_inserts_total";
/// Label: `class`.
pub(crate) const INSERT_RETRIES: &str = "consumer_insert_retries_total";
pub(crate) const INSERT_ROWS: &str = "consumer_insert_rows";
pub(crate) const INSERT_BYTES: &str = "consumer_insert_bytes";
pub(crate) const ROWS_REINSERTED: &str = "consumer_rows_reinserted_total";
pub(crate) const EXTRA_ROWS: &str = "consumer_extra_rows_total";
pub(crate) const INSERT_BLOCKED: &str = "consumer_insert_blocked";
/// Label: `reason`.
pub(crate) const DEAD_LETTERS: &str = "consumer_dead_letters_total";
pub(crate) const DEAD_LETTERS_REBUILT: &str = "consumer_dead_letters_rebuilt_total";
pub(crate) const RECORDS_LOST: &str = "consumer_records_lost_total";
/// Label: `kind`.
pub(crate) const REBALANCES: &str = "consumer_rebalances_total";
pub(crate) const PARTITIONS: &str = "consumer_partitions";
pub(crate) const LAG_RECORDS: &str = "consumer_lag_records";
pub(crate) const LAG_SECONDS: &str = "consumer_lag_seconds";
pub(crate) const OLDEST_UNSTORED: &str = "consumer_oldest_unstored_seconds";
pub(crate) const MEMORY_HELD: &str = "consumer_memory_held_bytes";
pub(crate) const AUDIT_CHECKED: &str = "audit_events_checked_total";
pub(crate) const AUDIT_MISSING: &str = "audit_events_missing_total";
pub(crate) const AUDIT_DOUBLED: &str = "audit_events_doubled_total";
pub(crate) const LAST_COMMIT: &str = "consumer_last_commit_timestamp_seconds";

/// The values of the label `kind` of a rebalance.
pub(crate) const ASSIGNED: &str = "assigned";
pub(crate) const REVOKED: &str = "revoked";
pub(crate) const LOST: &str = "lost";

/// Where an error of the pipeline happened: the label `stage`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Poll,
    Parse,
    Insert,
    DeadLetter,
    Commit,
    Audit,
}

impl Stage {
    fn label(self) -> &'static str {
        match self {
            Self::Poll => "poll",
            Self::Parse => "parse",
            Self::Insert => "insert",
            Self::DeadLetter => "dead_letter",
            Self::Commit => "commit",
            Self::Audit => "audit",
        }
    }
}

/// Counts an error of the pipeline.
pub(crate) fn count_error(stage: Stage, reason: &'static str) {
    metrics::counter!(PIPELINE_ERRORS, "stage" => stage.label(), "reason" => reason).increment(1);
}

/// Inserts are shown as blocked as long as this is held, at most.
pub(crate) struct Unblock;

impl Drop for Unblock {
    fn drop(&mut self) {
        gauge!(INSERT_BLOCKED).set(0.0);
    }
}

/// Writes the help texts, and a zero where an alarm would miss the first count otherwise.
pub(crate) fn describe() {
    for name in
        [EVENTS_CONSUMED, EVENTS_INSERTED, ROWS_REINSERTED, EXTRA_ROWS, DEAD_LETTERS_REBUILT, RECORDS_LOST]
    {
        counter!(name).increment(0);
    }
    for class in Class::ALL {
        counter!(INSERTS, "outcome" => class.reason()).increment(0);
        counter!(INSERT_RETRIES, "class" => class.reason()).increment(0);
    }
    for kind in [ASSIGNED, REVOKED, LOST] {
        counter!(REBALANCES, "kind" => kind).increment(0);
    }
    for refused in Refused::ALL {
        counter!(DEAD_LETTERS, "reason" => refused.reason()).increment(0);
    }
    describe_inserts();
    describe_audit();
    describe_counter!(EVENTS_CONSUMED, "Events read from Kafka, refused ones included.");
    describe_histogram!(
        BATCH_FLUSH_SECONDS,
        "Seconds from a batch's hand-over until it was stored, retries included."
    );
    describe_counter!(EVENTS_INSERTED, "Events that are known to be stored.");
    describe_counter!(PIPELINE_ERRORS, "Errors by stage and reason; each was followed by another attempt.");
    describe_counter!(DEAD_LETTERS, "Records and events in the dead-letter topic, by reason.");
    describe_counter!(
        DEAD_LETTERS_REBUILT,
        "Dead letters that were made from refused rows, because Kafka no longer had their records."
    );
    describe_counter!(RECORDS_LOST, "Records that retention removed before they were read.");
    describe_counter!(REBALANCES, "Changes of the assignment, by kind.");
    describe_gauge!(PARTITIONS, "Partitions that this process reads.");
    describe_gauge!(LAG_RECORDS, "Records in the partitions of this process behind what is committed.");
    describe_gauge!(
        LAG_SECONDS,
        "For how long the oldest record that is not known to be stored has been in Kafka."
    );
    describe_gauge!(OLDEST_UNSTORED, "Age of the oldest event that was read and is not known to be stored.");
    describe_gauge!(MEMORY_HELD, "Bytes held for the batch being filled and the one being inserted.");
    describe_gauge!(LAST_COMMIT, "Unix time of the last commit that Kafka acknowledged.");
}

fn describe_inserts() {
    describe_counter!(INSERTS, "Inserts by outcome.");
    describe_counter!(INSERT_RETRIES, "Inserts that were made again after a failure, by its class.");
    describe_histogram!(INSERT_ROWS, "Rows of an insert that was stored.");
    describe_histogram!(INSERT_BYTES, "Bytes of an insert that was stored.");
    describe_counter!(
        ROWS_REINSERTED,
        "Rows inserted again after an attempt of this process that may have stored them."
    );
    describe_counter!(
        EXTRA_ROWS,
        "Rows the server wrote beyond those sent: a materialized view on the table."
    );
    describe_gauge!(
        INSERT_BLOCKED,
        "1 while inserts wait until somebody mends the table, the rights, a proxy or the topic."
    );
}

fn describe_audit() {
    for name in [AUDIT_CHECKED, AUDIT_MISSING, AUDIT_DOUBLED] {
        counter!(name).increment(0);
    }
    describe_counter!(AUDIT_CHECKED, "Stored events that were read from Kafka again and looked up.");
    describe_counter!(AUDIT_MISSING, "Events of those that `events` does not show: somebody must act.");
    describe_counter!(
        AUDIT_DOUBLED,
        "Events of those that `events` shows more than once: somebody must act."
    );
}
