CREATE OR REPLACE VIEW {database}.hourly_event_stats
SQL SECURITY INVOKER
AS SELECT
    toStartOfHour(timestamp) AS hour,
    event_name,
    count() AS events,
    uniqExact(distinct_id) AS unique_users
FROM {database}.events
GROUP BY hour, event_name
COMMENT 'Events and users per hour and event name. Definition {definition}.'
