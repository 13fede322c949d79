-- Tables of records take these columns by LIKE, which copies constraints under the names they have
-- here: those are added in records.sql. Parts of records have none of it.

-- What the mirror notes of every record
CREATE TEMPORARY TABLE bookkeeping (
    raw            jsonb,        -- the record as sent
    content_hash   bytea,        -- hash of raw, zone and declaration version
    as_of          timestamptz,  -- send moment of the request this row is known from
    first_seen_at  timestamptz,  -- when the mirror first wrote it
    changed_at     timestamptz,  -- when its content last changed here
    deleted_at     timestamptz,  -- when it was deleted; NULL for live rows
    deleted_reason text          -- one of history, combined, not_found, absent, erased
) ON COMMIT DROP;
