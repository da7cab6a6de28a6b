//! ClickHouse's own Kafka engine with a materialized view into a table of the same columns. The texts are pure.
//!
//! Their table has our columns, codecs and keys. It is a plain MergeTree, which does not know an event that comes
//! again: the engine inserts with `optimize_on_insert` as the server has it, and a ReplacingMergeTree
//! pays for that, as [`Variant::MapReplacing`] shows.
//! Settings: <https://clickhouse.com/docs/engines/table-engines/integrations/kafka>.

use schema::names::TopicName;

/// How the Kafka table and its view take a line apart. Each keeps every property.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Variant {
    /// `JSONEachRow` with `Map(String, String)`: exact.
    Map,
    /// The same into the very table that we fill.
    MapReplacing,
    /// A text a line and one `JSONExtract` of a tuple; numbers lose their text.
    Extract,
    /// `JSONEachRow` with the properties as text, and `JSONExtractKeysAndValues`; numbers lose their text.
    KeysAndValues,
}

impl Variant {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Map => "Kafka engine, Map",
            Self::MapReplacing => "Kafka engine, Map, our table",
            Self::Extract => "Kafka engine, JSONExtract",
            Self::KeysAndValues => "Kafka engine, KeysAndValues",
        }
    }

    fn format(self) -> &'static str {
        match self {
            Self::Map | Self::MapReplacing | Self::KeysAndValues => "JSONEachRow",
            Self::Extract => "LineAsString",
        }
    }

    fn columns(self) -> String {
        match self {
            Self::Map | Self::MapReplacing => FIELDS.replace("{properties}", "Map(String, String)"),
            Self::KeysAndValues => FIELDS.replace("{properties}", "String"),
            Self::Extract => "line String".to_owned(),
        }
    }

    /// Where the view finds a field of the event.
    fn field(self, name: &str) -> String {
        match self {
            Self::Map | Self::MapReplacing | Self::KeysAndValues => name.to_owned(),
            Self::Extract => format!("e.{name}"),
        }
    }

    fn properties(self) -> String {
        match self {
            Self::Map | Self::MapReplacing => "properties".to_owned(),
            Self::Extract => "e.properties".to_owned(),
            Self::KeysAndValues => {
                "CAST(JSONExtractKeysAndValues(properties, 'String'), 'Map(String, String)')".to_owned()
            }
        }
    }

    fn with(self) -> String {
        match self {
            Self::Map | Self::MapReplacing | Self::KeysAndValues => String::new(),
            Self::Extract => {
                let fields = FIELDS.replace("{properties}", "Map(String, String)");
                let fields = fields.replace("DateTime64(3, 'UTC')", "String").replace('\'', "\\'");
                format!("WITH JSONExtract(line, 'Tuple({fields})') AS e ")
            }
        }
    }

    fn time(self, name: &str) -> String {
        match self {
            Self::Map | Self::MapReplacing | Self::KeysAndValues => name.to_owned(),
            Self::Extract => format!("parseDateTime64BestEffort(e.{name}, 3, 'UTC')"),
        }
    }
}

const FIELDS: &str = "id UUID, event_name String, type String, user_id String, anonymous_id String, \
    distinct_id String, session_id String, app_id String, timestamp DateTime64(3, 'UTC'), \
    received_at DateTime64(3, 'UTC'), properties {properties}, ip_address String, user_agent String, \
    library String, protocol String";

/// About as many rows a block as the default of `max_insert_block_size` allows; a message may hold many rows.
const BLOCK_ROWS: u64 = 500_000;

/// The Kafka table, which reads nothing before there is a view.
pub(crate) fn table(
    variant: Variant,
    database: &str,
    kafka: &str,
    topic: &TopicName,
    group: &str,
    per_record: u64,
) -> String {
    let (columns, format) = (variant.columns(), variant.format());
    let block = BLOCK_ROWS / per_record;
    format!(
        "CREATE TABLE {database}.queue ({columns}) ENGINE = Kafka SETTINGS kafka_broker_list = '{kafka}', \
         kafka_topic_list = '{topic}', kafka_group_name = '{group}', kafka_format = '{format}', \
         kafka_num_consumers = 1, kafka_max_block_size = {block}, kafka_poll_max_batch_size = {block}, \
         kafka_flush_interval_ms = 2000, date_time_input_format = 'best_effort'"
    )
}

/// The view that fills every column of the table; from now on it reads.
pub(crate) fn view(variant: Variant, database: &str) -> String {
    let texts = [
        "id",
        "event_name",
        "type",
        "user_id",
        "anonymous_id",
        "distinct_id",
        "session_id",
        "app_id",
        "ip_address",
        "user_agent",
        "library",
        "protocol",
    ];
    let texts: Vec<String> = texts.iter().map(|name| format!("{} AS {name}", variant.field(name))).collect();
    let (timestamp, received_at) = (variant.time("timestamp"), variant.time("received_at"));
    format!(
        "CREATE MATERIALIZED VIEW {database}.feed TO {database}.events_raw AS {}SELECT {}, {} AS properties, \
         {timestamp} AS timestamp, timestamp AS corrected_at, {received_at} AS received_at, received_at AS sent_at, \
         toDate(timestamp) AS day, \
         bitOr(bitShiftLeft(toUInt64(toUnixTimestamp64Milli(received_at) - 1577836800000), 22), \
         bitAnd(_offset, 4194303)) AS _version, 0 AS _deleted, toUUID('00000000-0000-0000-0000-000000000000') AS _inc, \
         _partition AS _kp, _offset AS _ko, 0 AS _ki FROM {database}.queue",
        variant.with(),
        texts.join(", "),
        variant.properties(),
    )
}
