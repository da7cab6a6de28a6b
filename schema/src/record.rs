//! A Kafka record of ours: one or more events as newline-delimited JSON, with headers.

/// The version of the record's JSON and of every derivation in [`crate::identity`] and [`crate::timestamp`].
pub const SCHEMA_VERSION: &str = "1";

/// The value of [`CONTENT_TYPE`]: one event per line.
pub const NDJSON: &str = "application/x-ndjson";

/// Header: the media type of the value.
pub const CONTENT_TYPE: &str = "content-type";
/// Header: the number of events in the value, in decimal.
pub const COUNT: &str = "count";
/// Header: the tenant's id, set from the key and never from the body.
pub const TENANT: &str = "tenant";
/// Header: the pipeline's name.
pub const PIPELINE: &str = "pipeline";
/// Header: the HTTP contract the events came by.
pub const PROTOCOL: &str = "protocol";
/// Header: the version of the JSON, see [`SCHEMA_VERSION`].
pub const SCHEMA_VERSION_HEADER: &str = "schema-version";
/// Header: the W3C trace context of the request.
pub const TRACEPARENT: &str = "traceparent";

/// A request is split into records below this many bytes: brokers accept 1 MiB with headers by default.
pub const MAX_RECORD_BYTES: usize = 900_000;

/// A dead letter stays below this many bytes with its key and headers. A dead-letter topic has to accept a batch of
/// them: a letter that cannot be written would block its partition for ever.
pub const MAX_DEAD_LETTER_BYTES: usize = 2 * 1024 * 1024;

/// Headers that a dead letter has beside those of its original.
pub mod dead_letter {
    /// Why the record was refused: one of a closed set of words.
    pub const REASON: &str = "dead-letter-reason";
    /// The text for a person, without any of the payload.
    pub const MESSAGE: &str = "dead-letter-message";
    /// The topic the record came from.
    pub const TOPIC: &str = "dead-letter-topic";
    /// Kafka's id of that topic.
    pub const TOPIC_ID: &str = "dead-letter-topic-id";
    /// The partition the record came from.
    pub const PARTITION: &str = "dead-letter-partition";
    /// The offset the record had there.
    pub const OFFSET: &str = "dead-letter-offset";
    /// The index of the event inside its record, where only that event was refused.
    pub const INDEX: &str = "dead-letter-index";
    /// Where the first original lay: `<topic id>/<partition>/<offset>/<index>`. An event without an id of its own is
    /// named by it, so that a letter that is sent again is the same event.
    pub const FIRST_POSITION: &str = "dead-letter-first-position";
    /// When it was refused first, RFC 3339.
    pub const FIRST_FAILED_AT: &str = "dead-letter-first-failed-at";
    /// The bytes of the original value in decimal, where the letter holds only its beginning.
    pub const TRUNCATED: &str = "dead-letter-truncated";
    /// What is missing of the key and the headers: `key=<bytes of the original key>` where only its beginning is
    /// repeated, `headers=<how many were left out>`, or both with a space between.
    pub const CUT: &str = "dead-letter-cut";
    /// `row`, where the value and the headers are not those of the original: the table refused the event, and when the
    /// original was to be read for the letter Kafka no longer had it. The value is the event as its row has it, one
    /// line in the form of our own records.
    pub const REBUILT: &str = "dead-letter-rebuilt";
}
