-- Up to when each resource is complete, doubts left aside: NULL while nothing is proven.
CREATE VIEW sync.claim AS
SELECT c.store_id, c.resource,
    CASE
        WHEN w.rebuilding OR c.unavailable IS NOT NULL THEN NULL
        WHEN f.store_id IS NULL THEN
            CASE WHEN c.complete_as_of IS NOT NULL THEN least(c.complete_as_of, r.oldest, now()) END
        WHEN c.proven_as_of IS NULL OR f.clear_at IS NULL OR t.untold THEN NULL
        ELSE least(f.clear_at, r.oldest, t.clear_at, h.hidden_as_of, now())
    END AS complete_as_of,
    CASE
        WHEN NOT s.enabled OR NOT c.selected THEN 'disabled'
        WHEN c.unavailable IS NOT NULL THEN 'unavailable'
        WHEN s.error IS NOT NULL OR c.approval IS NOT NULL OR l.stuck OR w.fruitless OR r.stuck
            THEN 'attention'
        WHEN w.rebuilding THEN 'loading'
        WHEN c.proven_as_of IS NOT NULL AND f.store_id IS NOT NULL THEN 'following'
        WHEN c.complete_as_of IS NOT NULL AND f.store_id IS NULL THEN
            CASE WHEN c.complete_as_of
                    > now() - make_interval(secs => 1.5 * c.every_seconds + 120)
                THEN 'fresh' ELSE 'attention' END
        WHEN w.started THEN 'loading'
        ELSE 'pending'
    END AS state
FROM sync.coverage AS c
JOIN sync.store AS s ON s.id = c.store_id
LEFT JOIN sync.feed AS f ON f.store_id = c.store_id AND f.resource = c.feed
-- Whoever works on it, or on the history that it is followed by.
LEFT JOIN LATERAL (
    SELECT bool_or(parked_at IS NOT NULL
                   OR failing_since < now() - interval '15 minutes') AS stuck
    FROM sync.lane AS l
    WHERE l.store_id = c.store_id AND l.enabled
        AND (l.resource = c.resource OR (l.resource = c.feed AND l.lane = 'feed'))
) AS l ON true
LEFT JOIN LATERAL (
    SELECT coalesce(bool_or(kind = 'rebuild'), false) AS rebuilding,
        coalesce(bool_or(started_at IS NOT NULL), false) AS started,
        bool_or(fruitless_since < now() - interval '1 hour') AS fruitless
    FROM sync.crawl AS w WHERE w.store_id = c.store_id AND w.resource = c.resource
        AND w.state IN ('pending', 'running')
) AS w ON true
LEFT JOIN LATERAL (
    SELECT min(coalesce(since, asked_at)) AS oldest,
        bool_or(failing_since < now() - interval '15 minutes') AS stuck
    FROM sync.reread AS r WHERE r.store_id = c.store_id AND r.resource = c.resource
) AS r ON true
-- A history that is off or was never given tells nothing, and holds nothing back.
LEFT JOIN LATERAL (
    SELECT min(o.clear_at) AS clear_at, coalesce(bool_or(o.clear_at IS NULL), false) AS untold
    FROM sync.coverage AS d
    LEFT JOIN sync.feed AS o ON o.store_id = d.store_id AND o.resource = d.resource
    WHERE d.store_id = c.store_id AND d.resource = ANY (c.told_by)
        AND d.selected AND (d.unavailable IS NULL OR o.clear_at IS NOT NULL)
) AS t ON true
LEFT JOIN LATERAL (
    SELECT s.hidden_as_of WHERE s.chosen_sites IS NULL OR NOT s.chosen_sites <@ s.sites
) AS h ON true;
