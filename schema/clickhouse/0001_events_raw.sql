CREATE TABLE IF NOT EXISTS {database}.events_raw
(
    id UUID,
    event_name LowCardinality(String),
    type String,
    user_id String,
    anonymous_id String,
    distinct_id String,
    session_id String,
    app_id String,
    timestamp DateTime64(3, 'UTC') CODEC(T64, LZ4),
    corrected_at DateTime64(3, 'UTC') CODEC(T64, LZ4),
    sent_at DateTime64(3, 'UTC') CODEC(T64, LZ4),
    received_at DateTime64(3, 'UTC') CODEC(T64, LZ4),
    properties Map(String, String),
    ip_address String,
    user_agent String,
    library String,
    protocol String,
    day Date,
    _version UInt64 CODEC(T64, LZ4),
    _deleted UInt8,
    _inc UUID,
    _kp UInt16,
    _ko UInt64 CODEC(T64, LZ4),
    _ki UInt16,
    INDEX distinct_id_filter distinct_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX offset_range _ko TYPE minmax GRANULARITY 1
)
ENGINE = ReplacingMergeTree(_version, _deleted)
PARTITION BY toYYYYMM(day)
ORDER BY (event_name, day, cityHash64(distinct_id), id)
TTL toDateTime(received_at) + INTERVAL {retention_hours} HOUR
SETTINGS
    non_replicated_deduplication_window = 0,
    fsync_after_insert = 1,
    fsync_part_directory = 1,
    min_rows_to_fsync_after_merge = 1,
    auto_statistics_types = '',
    string_serialization_version = 'single_stream',
    merge_selector_base = 12
