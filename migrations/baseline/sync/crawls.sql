-- What is crawled, what is followed, and what is complete as of when.

-- Planned pieces of work in the walk lane
CREATE TABLE sync.crawl (
    id              bigint GENERATED ALWAYS AS IDENTITY,  -- our own number
    store_id        bigint NOT NULL,                      -- sync.store.id
    resource        text NOT NULL,                        -- Resource.name
    kind            text NOT NULL,                        -- load, backfill, refresh, reconcile or rebuild
    asked_by        text NOT NULL DEFAULT 'schedule',     -- schedule or operator
    since           date,                                 -- first creation day; NULL for no limit
    until           date,                                 -- last creation day; NULL for no limit
    deep            boolean NOT NULL DEFAULT false,       -- by id set
    phase           text NOT NULL DEFAULT 'plan',         -- plan, walk, prove, seal or done
    state           text NOT NULL DEFAULT 'pending',      -- pending, running, done, parked or dropped
    pages_planned   bigint NOT NULL DEFAULT 0,            -- pages the plan found
    pages_done      bigint NOT NULL DEFAULT 0,            -- pages committed
    rows_seen       bigint NOT NULL DEFAULT 0,            -- records in those pages
    rows_changed    bigint NOT NULL DEFAULT 0,            -- of them written
    requests        bigint NOT NULL DEFAULT 0,            -- requests sent for it
    drifts          bigint NOT NULL DEFAULT 0,            -- times the list changed under the walk
    report          jsonb,                                -- what a reconcile found and did
    error           text,                                 -- why it is parked
    asked_at        timestamptz NOT NULL DEFAULT now(),   -- when it was asked for
    started_at      timestamptz,                          -- first page
    finished_at     timestamptz,                          -- when it was done
    not_before      timestamptz,                          -- waits until then, and other crawls go before it; NULL for not
    rounds          bigint NOT NULL DEFAULT 0,            -- rounds in a row that ended without a result
    fruitless_since timestamptz,                          -- when the first of those rounds ended
    CONSTRAINT crawl_kind_known
        CHECK (kind IN ('load', 'backfill', 'refresh', 'reconcile', 'rebuild')),
    CONSTRAINT crawl_state_known
        CHECK (state IN ('pending', 'running', 'done', 'parked', 'dropped')),
    PRIMARY KEY (id)
);
CREATE INDEX crawl_open
    ON sync.crawl (store_id, resource, asked_at) WHERE state IN ('pending', 'running');
CREATE INDEX crawl_recent ON sync.crawl (store_id, resource, id);

-- Slices of a list frozen by creation days, or of a history by entry ids
CREATE TABLE sync."window" (
    id           bigint GENERATED ALWAYS AS IDENTITY,  -- our own number
    crawl_id     bigint NOT NULL,                  -- sync.crawl.id
    store_id     bigint NOT NULL,                  -- sync.store.id
    resource     text NOT NULL,                    -- Resource.name
    first_day    date,                             -- first creation day; NULL for no lower end
    last_day     date,                             -- last creation day; NULL for no upper end
    after_id     bigint,                           -- of a history: entries above this id
    until_id     bigint,                           -- of a history: up to and with this id
    state        text NOT NULL DEFAULT 'planned',  -- planned, open, walked, counted (proven, not yet sealed) or proven
    total        bigint NOT NULL DEFAULT 0,        -- records by the API when it was last asked
    page_count   bigint NOT NULL DEFAULT 0,        -- pages by the API when it was last asked
    last_page    bigint NOT NULL DEFAULT 0,        -- checkpoint: the last page committed
    last_id      bigint,                           -- of a history: checkpoint, last id committed
    walks        bigint NOT NULL DEFAULT 0,        -- times it was walked from its first page
    walked_as_of timestamptz,                      -- send moment of the first page of this walk
    verified_at  timestamptz,                      -- as of when its set of records is proven
    deep         boolean NOT NULL DEFAULT false,   -- walked to compare ids and contents with what is here
    differed     bigint NOT NULL DEFAULT 0,        -- counts in a row that differed
    asked_at     timestamptz,                      -- send moment of the total of its provisional proof
    counted_at   timestamptz,                      -- when its rows were counted for that
    crm_at       timestamptz,                      -- the CRM's own clock, at or after asked_at
    CONSTRAINT window_state_known
        CHECK (state IN ('planned', 'open', 'walked', 'counted', 'proven')),
    PRIMARY KEY (id)
);
CREATE INDEX window_by_resource ON sync."window" (store_id, resource, verified_at);
CREATE INDEX window_of_crawl ON sync."window" (crawl_id, id);

-- Ids met on the pages of a window that is compared: what it lacks is looked for
CREATE TABLE sync.met (
    window_id bigint,             -- sync.window.id
    page      bigint,             -- page of the window
    ids       bigint[] NOT NULL,  -- ids on it
    PRIMARY KEY (window_id, page)
);

-- Checkpoints of the histories
CREATE TABLE sync.feed (
    store_id           bigint,                               -- sync.store.id
    resource           text,                                 -- the history's name
    bookmark           bigint NOT NULL,                      -- newest id when the first load began
    head_id            bigint NOT NULL,                      -- last id followed
    tail_id            bigint NOT NULL,                      -- last id of the same chain read again after the lateness bound
    head_at            timestamptz,                          -- send moment of the last answer that had nothing after it
    clear_at           timestamptz,                          -- everything the history published before this moment is in the mirror
    gap_at             timestamptz,                          -- no longer written: a gap is a row of sync.doubt
    entries            bigint NOT NULL DEFAULT 0,            -- entries followed since the bookmark
    late_entries       bigint NOT NULL DEFAULT 0,            -- of them found by the tail: published out of order
    every_seconds      double precision,                     -- interval it is looked at; NULL for SYNC_FEED_SECONDS
    changes_per_second double precision NOT NULL DEFAULT 0,  -- entries a second, averaged over about an hour
    lateness_seconds   double precision,                     -- lateness bound learnt from this history; NULL while nothing came later than it
    late_at            timestamptz,                          -- when it was last learnt, or halved
    crm_at             timestamptz,                          -- the CRM's own clock in that answer; NULL where it tells none
    broken_since       timestamptz,                          -- since when known entries do not come again; NULL when they do
    backward_id        bigint,                               -- third reading: last id read; NULL when done
    backward_until_id  bigint,                               -- third reading: where it ends
    hour_read_at       timestamptz,                          -- when the last hour's entries were last read a third time
    day_read_at        timestamptz,                          -- when the last day's entries were
    sampled_at         timestamptz,                          -- when a sample of passed records was last read again
    PRIMARY KEY (store_id, resource)
);

-- Checkpoints of lists behind an opaque cursor
CREATE TABLE sync."position" (
    store_id bigint,          -- sync.store.id
    resource text,            -- Resource.name
    cursor   text NOT NULL,   -- sent back as it came
    repeats  jsonb NOT NULL,  -- how often each made key occurred on the page before
    PRIMARY KEY (store_id, resource)
);

-- Records to be read again, by id
CREATE TABLE sync.reread (
    store_id      bigint,                              -- sync.store.id
    resource      text,                                -- Resource.name
    id            bigint,                              -- record's id
    reason        text NOT NULL,                       -- why
    asked_at      timestamptz NOT NULL DEFAULT now(),  -- first asked for
    not_before    timestamptz NOT NULL DEFAULT now(),  -- the CRM may need until then
    since         timestamptz,                         -- what it holds of changes after that may be wrong; coverage is held there
    early_at      timestamptz,                         -- read once more, before the last time, from then on; NULL for not
    absent_at     timestamptz,                         -- send moment of the request it was first found absent by
    failures      bigint NOT NULL DEFAULT 0,           -- requests for it alone, in a row, that failed
    failing_since timestamptz,                         -- when the first of those failed
    error         text,                                -- the last failure, in words
    PRIMARY KEY (store_id, resource, id)
);
CREATE INDEX reread_due ON sync.reread (store_id, resource, not_before);

-- Live rows that a history told to be gone, or to have left their day or site: kept for a while, since a count may have missed them
CREATE TABLE sync.departure (
    store_id   bigint,                              -- sync.store.id
    resource   text,                                -- the list they left
    entry_id   bigint,                              -- who told it
    id         bigint NOT NULL,                     -- record's id
    created_on date,                                -- the day it left; NULL where it had none
    left_at    timestamptz,                         -- when, by the CRM's clock
    told_at    timestamptz NOT NULL DEFAULT now(),  -- when it was learnt
    PRIMARY KEY (store_id, resource, entry_id)
);
CREATE INDEX departure_told ON sync.departure (store_id, resource, told_at);

-- What may be wrong, since when and why: coverage does not go past it until it was compared
CREATE TABLE sync.doubt (
    id               bigint GENERATED ALWAYS AS IDENTITY,  -- our own number
    store_id         bigint NOT NULL,                      -- sync.store.id
    resource         text NOT NULL,                        -- Resource.name
    first_day        date,                                 -- first creation day; NULL for no lower end
    last_day         date,                                 -- last creation day; NULL for no upper end
    record           bigint,                               -- record's id, where it is about one alone
    kind             text NOT NULL,                        -- gap, restart, unread, count, late, access, zone or operator
    detail           text NOT NULL,                        -- what was seen, in words
    since            timestamptz NOT NULL,                 -- from when on it may be wrong
    raised_at        timestamptz NOT NULL DEFAULT now(),   -- when it was seen
    difference       bigint,                               -- total of the API less rows here, of a count
    accepted_at      timestamptz,                          -- when a person accepted that it stays; NULL while nobody did
    accepted_by      text,                                 -- who
    accepted_because text,                                 -- why
    CONSTRAINT doubt_kind_known
        CHECK (kind IN ('gap', 'restart', 'unread', 'count', 'late', 'access', 'zone', 'operator')),
    PRIMARY KEY (id)
);
CREATE INDEX doubt_of ON sync.doubt (store_id, resource);

-- What is known of a resource of a store; crm.coverage is made from it
CREATE TABLE sync.coverage (
    store_id       bigint,                          -- sync.store.id
    resource       text,                            -- Resource.name
    selected       boolean NOT NULL DEFAULT true,   -- the store mirrors it
    expected       bigint,                          -- records in the CRM as far as is known
    mirrored       bigint NOT NULL DEFAULT 0,       -- live rows, counted along with every write
    proven_as_of   timestamptz,                     -- send moment of the last proof of the whole; NULL until proven
    proven_at      timestamptz,                     -- when that proof was made
    complete_as_of timestamptz,                     -- of a resource without a feed: first send of the closed pass
    polled_as_of   timestamptz,                     -- first send of the last poll by an updated-since filter
    feed           text,                            -- the history it is followed by; NULL where none
    every_seconds  bigint NOT NULL DEFAULT 0,       -- how often it is refreshed; 0 for never
    version        text,                            -- Resource.version its rows are made from
    zone           text,                            -- zone its rows are made from
    unavailable    text,                            -- why the API does not give it; NULL when it does
    approval       text,                            -- a refresh that waits for approve: what it would tombstone
    approved       boolean NOT NULL DEFAULT false,  -- an operator allowed it
    date_filter    boolean,                         -- whether the creation day filters narrow the list
    rejects        bigint NOT NULL DEFAULT 0,       -- rows of sync.reject
    refused_writes bigint NOT NULL DEFAULT 0,       -- contents that differed and lost to newer knowledge
    drifts         bigint NOT NULL DEFAULT 0,       -- times the list changed under a walk
    ids_checked    jsonb,                           -- when each turn's ids were compared
    ids_checked_at timestamptz,                     -- when the id set of its oldest window was last compared
    rows_written   bigint NOT NULL DEFAULT 0,       -- rows inserted, changed, revived or tombstoned, ever
    told_by        text[] NOT NULL DEFAULT '{}',    -- other histories that tell of its changes
    PRIMARY KEY (store_id, resource)
);

-- Every attempt to prove a window or the whole: the audit trail of coverage
CREATE TABLE sync.proof (
    id          bigint GENERATED ALWAYS AS IDENTITY,  -- our own number
    store_id    bigint NOT NULL,                      -- sync.store.id
    resource    text NOT NULL,                        -- Resource.name
    first_day   date,                                 -- first creation day; NULL for no lower end
    last_day    date,                                 -- last creation day; NULL for no upper end
    method      text NOT NULL,                        -- count, pass or ids
    asked_as_of timestamptz NOT NULL,                 -- send moment of the request for the total
    total       bigint,                               -- the API's answer
    mirrored    bigint,                               -- live rows known before it was asked
    entered     bigint,                               -- live rows found after it was asked
    head_id     bigint,                               -- the feed's head when the rows were counted
    proven      boolean NOT NULL,                     -- total = mirrored, or a closed pass
    detail      text,                                 -- what was found otherwise
    made_at     timestamptz NOT NULL DEFAULT now(),   -- when
    PRIMARY KEY (id)
);
CREATE INDEX proof_recent ON sync.proof (store_id, resource, id);

-- Times a list changed under a walk, in words
CREATE TABLE sync.drift (
    id        bigint GENERATED ALWAYS AS IDENTITY,  -- our own number
    store_id  bigint NOT NULL,                      -- sync.store.id
    resource  text NOT NULL,                        -- Resource.name
    window_id bigint,                               -- sync.window.id
    kind      text NOT NULL,                        -- shrank, grew, repeated, beyond_end, endless, order or gap (ops/runbook.md)
    detail    text NOT NULL,                        -- what was seen
    seen_at   timestamptz NOT NULL DEFAULT now(),   -- when
    PRIMARY KEY (id)
);
CREATE INDEX drift_recent ON sync.drift (store_id, resource, id);

-- Records that answer by id although no list shows them: live, outside the counts
CREATE TABLE sync.unlisted (
    store_id bigint,                              -- sync.store.id
    resource text,                                -- Resource.name
    id       bigint,                              -- record's id
    seen_at  timestamptz NOT NULL DEFAULT now(),  -- when
    PRIMARY KEY (store_id, resource, id)
);
