-- The warehouse lives in the current database (the server's `default`, so that the sample queries run as
-- they are from every client). 02 to 04 make, for each gold model x:
--
--   x_store   ReplacingMergeTree(_version, _deleted): what is loaded. _version is the Delta version of the
--             gold table, _deleted marks a row that is gone. Unpartitioned and sorted by time first (facts)
--             or by key: with partitions, a row that moves between months is read wrongly while it moves.
--             A batch inserts one part; with the usual base of 5 merging them took more than inserting.
--   x         the view that everybody reads: x_store FINAL, so no reader ever sees a row twice, an old
--             state beside the new one, or a deleted row.
--
-- The columns are those of sql/gold/x.sql in the same order; a test holds them equal.
CREATE DATABASE IF NOT EXISTS default;

-- How far the warehouse shows the lake: the newest row counts; it is written after the rows it speaks of.
-- position is refine's; everything the source had committed up to end_lsn is visible; versions are the
-- gold tables' Delta versions; definition is the hash of these files.
CREATE TABLE IF NOT EXISTS millrace_position_store
(
    id         UInt8,
    sequence   UInt64,
    position   Int64,
    end_lsn    UInt64,
    commit_at  DateTime64(6, 'UTC'),
    loaded_at  DateTime64(6, 'UTC'),
    versions   String,
    definition String
)
ENGINE = ReplacingMergeTree(sequence)
ORDER BY id
SETTINGS old_parts_lifetime = 1, merge_tree_clear_old_parts_interval_seconds = 1, merge_selector_base = 20;

CREATE OR REPLACE VIEW millrace_position AS
SELECT position, end_lsn, commit_at, loaded_at, versions, definition, sequence
FROM millrace_position_store FINAL;
