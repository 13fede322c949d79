-- May I trust the numbers of yesterday? Every resource must be complete as of midnight or later
SELECT store, resource, state, complete_as_of
FROM crm.freshness AS f
JOIN crm.store AS s USING (store_id)
WHERE state <> 'disabled'
    AND complete_as_of IS DISTINCT FROM greatest(
        complete_as_of, date_trunc('day', now() AT TIME ZONE s.zone) AT TIME ZONE s.zone
    )
ORDER BY store, resource;
