CREATE OR REPLACE VIEW {database}.events
SQL SECURITY INVOKER
AS SELECT
    id,
    event_name,
    type,
    user_id,
    anonymous_id,
    distinct_id,
    session_id,
    app_id,
    timestamp,
    corrected_at,
    sent_at,
    received_at,
    properties,
    ip_address,
    user_agent,
    library,
    protocol,
    day
FROM {database}.events_raw FINAL
WHERE received_at > now64(3) - INTERVAL {retention_hours} HOUR
SETTINGS
    do_not_merge_across_partitions_select_final = 1,
    use_skip_indexes_if_final_exact_mode = 1,
    optimize_move_to_prewhere_if_final = 0
COMMENT 'Each event once, as long as it is retained. Definition {definition}.'
