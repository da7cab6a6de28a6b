ALTER TABLE {database}.events_raw
MODIFY TTL toDateTime(received_at) + INTERVAL {retention_hours} HOUR
SETTINGS materialize_ttl_after_modify = 0
