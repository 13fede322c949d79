-- Stores, their lanes, what was rejected, readers, notices.

-- RetailCRM accounts that are mirrored, one per API key
CREATE TABLE sync.store (
    id                     bigint GENERATED ALWAYS AS IDENTITY,  -- our own number
    name                   text NOT NULL,                        -- its name in commands and in crm.coverage
    url                    text NOT NULL,                        -- https://….retailcrm.ru, without a path
    account                text NOT NULL,                        -- technicalUrl of system-info: what account it is
    api_key                bytea NOT NULL,                       -- encrypted with SYNC_SECRET_KEY
    key_fingerprint        text NOT NULL,                        -- names the key without telling it
    zone                   text NOT NULL,                        -- IANA zone of all its local times
    currency               text,                                 -- ISO 4217 default currency
    site_access            text,                                 -- access_full or access_selective
    sites                  text[],                               -- sites the key is limited to; NULL for all
    scopes                 text[],                               -- the key's scopes; NULL where it names none
    chosen_sites           text[],                               -- sites asked for by --site; NULL for all
    since                  date,                                 -- first creation day mirrored; NULL for all
    enabled                boolean NOT NULL DEFAULT true,        -- crawled
    error                  text,                                 -- what an operator has to do; NULL when nothing
    created_at             timestamptz NOT NULL DEFAULT now(),   -- when it was added
    checked_at             timestamptz,                          -- when its key was last found good
    hidden_sites           text[] NOT NULL DEFAULT '{}',         -- sites whose rows were mirrored and that the key sees no more; * for others
    hidden_as_of           timestamptz,                          -- when the key was last known to see them
    hidden_from            timestamptz,                          -- when it was first seen not to see them: rows read before may be of them
    least_lateness_seconds double precision,                     -- shortest lateness bound of its histories; NULL for a minute
    UNIQUE (name),
    PRIMARY KEY (id)
);

-- The last as_of given out for a store: strictly increasing
CREATE TABLE sync.store_clock (
    store_id bigint,                -- sync.store.id
    as_of    timestamptz NOT NULL,  -- the last moment given out
    PRIMARY KEY (store_id)
);

-- Work on a (store, resource, lane): when it is due, and who holds the lease
CREATE TABLE sync.lane (
    store_id      bigint,                              -- sync.store.id
    resource      text,                                -- Resource.name
    lane          text,                                -- feed or walk
    enabled       boolean NOT NULL DEFAULT true,       -- wanted
    due_at        timestamptz NOT NULL DEFAULT now(),  -- when it is to be worked on next
    claimed_until timestamptz,                         -- a task has been sent for it that expires then
    token         bigint NOT NULL DEFAULT 0,           -- fencing token
    lease_until   timestamptz,                         -- the lease ends then at the latest, should its holder live so long
    holder        text,                                -- sync.worker.id of the process that holds the lease
    attempts      bigint NOT NULL DEFAULT 0,           -- attempts since the last progress, counted before work starts
    parked_at     timestamptz,                         -- given up until an operator says retry
    failing_since timestamptz,                         -- first failure in a row
    error         text,                                -- the last failure, in words
    worked_at     timestamptz,                         -- when it last made progress
    failures      bigint NOT NULL DEFAULT 0,           -- failures ever, also those that were followed by success
    odd_answer    text,                                -- kind of answer that is believed when it has come several times
    odd_times     bigint NOT NULL DEFAULT 0,           -- how often it came since a slice last ended well
    odd_since     timestamptz,                         -- when it came first
    CONSTRAINT lane_known CHECK (lane IN ('feed', 'walk')),
    PRIMARY KEY (store_id, resource, lane)
);
CREATE INDEX lane_due ON sync.lane (lane, due_at) WHERE enabled AND parked_at IS NULL;

-- Values that could not be normalised, kept with their reason
CREATE TABLE sync.reject (
    store_id      bigint,                              -- sync.store.id
    resource      text,                                -- Resource.name
    record        text,                                -- the record's id or code
    field         text,                                -- column, or table.column[n]
    value         text,                                -- the value as JSON text, shortened to 2000 characters
    reason        text NOT NULL,                       -- why it was not taken
    first_seen_at timestamptz NOT NULL DEFAULT now(),  -- when
    last_seen_at  timestamptz NOT NULL DEFAULT now(),  -- when last
    PRIMARY KEY (store_id, resource, record, field)
);

-- Paths the API sends that no declaration names; their values stay in raw
CREATE TABLE sync.unknown_field (
    store_id      bigint,                              -- sync.store.id
    resource      text,                                -- Resource.name
    path          text,                                -- dotted path in the record
    example       text,                                -- a value, shortened to 200 characters
    first_seen_at timestamptz NOT NULL DEFAULT now(),  -- when
    PRIMARY KEY (store_id, resource, path)
);

-- Answers that were not what was declared, kept whole
CREATE TABLE sync.parked_page (
    id       bigint GENERATED ALWAYS AS IDENTITY,  -- our own number
    store_id bigint NOT NULL,                      -- sync.store.id
    resource text NOT NULL,                        -- Resource.name
    request  text NOT NULL,                        -- method and parameters, without the key
    reason   text NOT NULL,                        -- what was wrong
    body     bytea,                                -- the answer as received
    seen_at  timestamptz NOT NULL DEFAULT now(),   -- when
    PRIMARY KEY (id)
);

-- Views of custom fields, one for each store and kind of record
CREATE TABLE sync.custom_view (
    store_id   bigint,         -- sync.store.id
    resource   text,           -- Resource.name
    name       text NOT NULL,  -- the view's name in crm
    definition text NOT NULL,  -- the statements it was made by
    CONSTRAINT custom_view_name UNIQUE (name),
    PRIMARY KEY (store_id, resource)
);

-- Columns of those views: names once given stay
CREATE TABLE sync.custom_column (
    store_id   bigint,         -- sync.store.id
    resource   text,           -- Resource.name
    "position" bigint,         -- place in the view: new ones come last
    code       text NOT NULL,  -- the field's code
    type       text NOT NULL,  -- the field's type
    name       text NOT NULL,  -- the column's name
    dictionary text,           -- crm.custom_dictionaries.code
    label      text NOT NULL,  -- the field's name
    PRIMARY KEY (store_id, resource, "position")
);

-- Proof that queues are consumed: worker processes and the last task they ended
CREATE TABLE sync.heartbeat (
    process     text,                  -- host:pid
    queue       text,                  -- feeds or crawls
    consumed_at timestamptz NOT NULL,  -- when it last ended a task
    egress      text,                  -- SYNC_EGRESS: the address it sends from
    PRIMARY KEY (process, queue)
);

-- Heartbeats of processes that hold leases
CREATE TABLE sync.worker (
    id         text,                  -- a UUID made when the process began
    host       text NOT NULL,         -- its host
    pid        bigint NOT NULL,       -- its process id there
    started_at timestamptz NOT NULL,  -- its first beat
    beat_at    timestamptz NOT NULL,  -- its last beat
    PRIMARY KEY (id)
);

-- Samples of the request budget's counts, which only grow: the last hours, by store
CREATE TABLE sync.budget_use (
    egress    text,                       -- SYNC_EGRESS
    bucket    text,                       -- default or telephony
    store_id  bigint,                     -- sync.store.id
    at        timestamptz,                -- when it was read
    granted   bigint NOT NULL DEFAULT 0,  -- requests granted until then
    waited_ms bigint NOT NULL DEFAULT 0,  -- milliseconds they waited for their slots
    refused   bigint NOT NULL DEFAULT 0,  -- requests the API answered with 503 or 429
    PRIMARY KEY (egress, bucket, store_id, at)
);
CREATE INDEX budget_use_at ON sync.budget_use (at);

-- What an operator is told by webhook: one row for each trouble, from its beginning to its end
CREATE TABLE sync.notification (
    id       bigint GENERATED ALWAYS AS IDENTITY,  -- our own number
    store_id bigint NOT NULL,                      -- sync.store.id
    kind     text NOT NULL,                        -- operator or lag
    resource text NOT NULL,                        -- Resource.name; empty for the store as a whole
    text     text NOT NULL,                        -- what is wrong and what to do
    began_at timestamptz NOT NULL DEFAULT now(),   -- when it was first seen
    ended_at timestamptz,                          -- when it was gone
    told     text,                                 -- what was delivered last: trouble or recovered; NULL for nothing yet
    told_at  timestamptz,                          -- when
    telling  text,                                 -- what waits to be delivered: trouble or recovered; NULL for nothing
    due_at   timestamptz,                          -- when delivery is tried next
    attempts bigint NOT NULL DEFAULT 0,            -- deliveries tried of what waits
    error    text,                                 -- why the last one failed
    CONSTRAINT notification_kind_known CHECK (kind IN ('operator', 'lag')),
    CONSTRAINT notification_message_known
        CHECK (told IN ('trouble', 'recovered') AND telling IN ('trouble', 'recovered')),
    PRIMARY KEY (id)
);
CREATE INDEX notification_due ON sync.notification (due_at) WHERE telling IS NOT NULL;
CREATE UNIQUE INDEX notification_open
    ON sync.notification (store_id, kind, resource) WHERE ended_at IS NULL;

-- Database roles that were granted reading, and how far
CREATE TABLE sync.reader (
    role       text,                                -- name of the role
    store_ids  bigint[],                            -- stores it may see; NULL for all
    masked     boolean NOT NULL DEFAULT false,      -- it reads crm_masked instead of crm
    granted_at timestamptz NOT NULL DEFAULT now(),  -- when
    PRIMARY KEY (role)
);

-- The secret that hashes are made with; one row, made with the database
CREATE TABLE sync.salt (
    one  boolean DEFAULT true,  -- true: there is one
    salt bytea NOT NULL,        -- 32 random bytes
    CONSTRAINT salt_is_one CHECK (one),
    PRIMARY KEY (one)
);
-- gen_random_uuid is Postgres's strong source of randomness: 122 bits in each.
INSERT INTO sync.salt (salt) SELECT sha256(
    uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())
);

-- Erased persons and what is theirs, by salted hash: masked whenever they come again
CREATE TABLE sync.suppressed (
    store_id  bigint,                              -- sync.store.id
    digest    bytea,                               -- salted hash of resource and key
    resource  text NOT NULL,                       -- Resource.name
    erased_at timestamptz NOT NULL DEFAULT now(),  -- when
    PRIMARY KEY (store_id, digest)
);

-- Stores that keep earlier contents, and for how long
CREATE TABLE sync.versioned (
    store_id  bigint,            -- sync.store.id
    is_on     boolean NOT NULL,  -- kept from now on
    keep_days bigint,            -- days after its end; NULL for ever
    PRIMARY KEY (store_id)
);
