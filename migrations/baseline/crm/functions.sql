-- Values of custom fields, as the views of each store read them. A value is what a person or another
-- system wrote: each function gives NULL for what is not of its type, and never an error. What the
-- expressions let pass the type's own reader takes: pg_input_is_valid, which would ask it, came with
-- Postgres 16. OFFSET 0 keeps the planner from working out a date or a number of a value it knows
-- already, before it was asked whether it is one.

CREATE FUNCTION crm.custom_text(value jsonb) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE jsonb_typeof(value) WHEN 'object' THEN NULL WHEN 'array' THEN NULL
        ELSE value #>> '{}' END
$$;

CREATE FUNCTION crm.custom_texts(value jsonb) RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE jsonb_typeof(value)
        WHEN 'array' THEN ARRAY(SELECT e.v #>> '{}'
            FROM jsonb_array_elements(value) WITH ORDINALITY AS e(v, n)
            WHERE jsonb_typeof(e.v) NOT IN ('array', 'object', 'null') ORDER BY e.n)
        WHEN 'object' THEN ARRAY(SELECT e.v #>> '{}' FROM jsonb_each(value) AS e(k, v)
            WHERE jsonb_typeof(e.v) NOT IN ('array', 'object', 'null')
            ORDER BY length(e.k), e.k)
        WHEN 'null' THEN NULL
        ELSE CASE WHEN value #>> '{}' = '' THEN '{}'::text[]
            WHEN value IS NOT NULL THEN ARRAY[value #>> '{}'] END
    END
$$;

CREATE FUNCTION crm.custom_boolean(value jsonb) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN jsonb_typeof(value) IN ('object', 'array') THEN NULL
        ELSE CASE lower(btrim(value #>> '{}'))
            WHEN '1' THEN true WHEN 'true' THEN true WHEN 'yes' THEN true WHEN 'on' THEN true
            WHEN '0' THEN false WHEN 'false' THEN false WHEN 'no' THEN false
            WHEN 'off' THEN false END
    END
$$;

CREATE FUNCTION crm.custom_numeric(value jsonb) RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN length(t) < 10000
        AND t ~ '^[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][+-]?[0-9]{1,3})?$' THEN t::numeric END
    FROM (SELECT replace(btrim(crm.custom_text(value)), ',', '.') AS t OFFSET 0) AS v
$$;

CREATE FUNCTION crm.custom_integer(value jsonb) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN n = trunc(n) AND n BETWEEN -9223372036854775808 AND 9223372036854775807
        THEN n::bigint END
    FROM (SELECT crm.custom_numeric(value) AS n) AS v
$$;

-- Months of 31 days, of 30, February; and its 29th in leap years.
CREATE FUNCTION crm.custom_date(value jsonb) RETURNS date
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN t ~ '^[0-9]{4}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))'
        OR t ~ '^([0-9]{2}(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)-02-29'
        THEN make_date(left(t, 4)::int, substr(t, 6, 2)::int, substr(t, 9, 2)::int) END
    FROM (SELECT btrim(crm.custom_text(value)) AS t OFFSET 0) AS v
    WHERE t !~ '^0000'
$$;

-- As the rest of the mirror reads local times: of an hour that comes twice the earlier reading
-- (Postgres alone would take the later one), an hour that never comes moves forward.
CREATE FUNCTION crm.custom_datetime(value jsonb, zone text) RETURNS timestamptz
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT CASE
        WHEN t ~ ':.*[zZ+-]' THEN t::timestamptz
        WHEN (t::timestamp AT TIME ZONE zone - interval '1 hour') AT TIME ZONE zone
            = t::timestamp THEN t::timestamp AT TIME ZONE zone - interval '1 hour'
        WHEN (t::timestamp AT TIME ZONE zone - interval '30 minutes') AT TIME ZONE zone
            = t::timestamp THEN t::timestamp AT TIME ZONE zone - interval '30 minutes'
        ELSE t::timestamp AT TIME ZONE zone
    END
    FROM (SELECT btrim(crm.custom_text(value)) AS t
        WHERE crm.custom_date(value) IS NOT NULL OFFSET 0) AS v
    WHERE t ~ '^.{10}([ T](([01][0-9]|2[0-3]):[0-5][0-9](:([0-5][0-9]([.][0-9]{1,18})?|60([.]0{1,18})?))?|24:00(:00([.]0{1,18})?)?)([zZ]|[+-](0[0-9]|1[0-5])(:?[0-5][0-9])?)?)?$'
$$;

COMMENT ON FUNCTION crm.custom_text IS 'a custom field''s value; NULL where it is none';
COMMENT ON FUNCTION crm.custom_texts IS 'a custom field''s value; NULL where it is none';
COMMENT ON FUNCTION crm.custom_boolean IS 'a custom field''s value; NULL where it is none';
COMMENT ON FUNCTION crm.custom_numeric IS 'a custom field''s value; NULL where it is none';
COMMENT ON FUNCTION crm.custom_integer IS 'a custom field''s value; NULL where it is none';
COMMENT ON FUNCTION crm.custom_date IS 'a custom field''s value; NULL where it is none';
COMMENT ON FUNCTION crm.custom_datetime IS 'a custom field''s value; NULL where it is none';
