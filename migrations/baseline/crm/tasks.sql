-- Tasks, their history and comments.

-- Tasks of users
CREATE TABLE crm.tasks (
    store_id             bigint,       -- crm.store.store_id
    id                   bigint,       -- RetailCRM's id [id]
    text                 text,         -- what is to be done [text]
    commentary           text,         -- comment [commentary]
    datetime             timestamptz,  -- when it is due [datetime]
    created_at           timestamptz,  -- when it was made [createdAt]
    complete             boolean,      -- done [complete]
    completed_at         timestamptz,  -- when it was done [completedAt]
    creator              bigint,       -- user who made it [creator]
    performer            bigint,       -- whom it is for; performer_type says what this id is [performer]
    performer_id         bigint,       -- user it is for [performerId]
    performer_type       text,         -- kind of performer [performerType]
    phone                text,         -- phone to call [phone]
    phone_site           text,         -- site to call from [phoneSite]
    customer_id          bigint,       -- joins crm.customers.id or corporate_customers [customer.id]
    customer_type        text,         -- customer or customer_corporate [customer.type]
    customer_external_id text,         -- customer's id in the shop [customer.externalId]
    customer_site        text,         -- customer's site [customer.site]
    order_id             bigint,       -- joins crm.orders.id [order.id]
    order_number         text,         -- order's number [order.number]
    order_external_id    text,         -- order's id in the shop [order.externalId]
    order_site           text,         -- order's site [order.site]
    created_on           date,         -- creation day in the store's zone, as sent
    listed_at            timestamptz,  -- as_of of the read that found it (on that day)
    combined_to          bigint,       -- id that survived when combined
    LIKE bookkeeping INCLUDING COMMENTS,
    PRIMARY KEY (store_id, id)
);
CREATE INDEX tasks_live_by_day
    ON crm.tasks (store_id, created_on) INCLUDE (listed_at) WHERE deleted_at IS NULL;

-- Changes of tasks, one entry per changed field; entries never change
CREATE TABLE crm.task_history (
    store_id            bigint,       -- crm.store.store_id
    id                  bigint,       -- entry id, ascending [id]
    created_at          timestamptz,  -- when the change was made [createdAt]
    created             boolean,      -- true on the entry that made the task [created]
    deleted             boolean,      -- true on the entry that deleted it, if the API has such [deleted]
    source              text,         -- who made it: user, api, code, rule [source]
    user_id             bigint,       -- user who made it [user.id]
    api_key_current     boolean,      -- made with the mirror's own key [apiKey.current]
    field               text,         -- changed field, in the history's own names [field]
    old_value           jsonb,        -- before: null, scalar, or object with id or code [oldValue]
    new_value           jsonb,        -- after: null, scalar, or object with id or code [newValue]
    task_id             bigint,       -- joins crm.tasks.id [task.id]
    task_complete       boolean,      -- whether it was done at that time [task.complete]
    task_performer      bigint,       -- whom it was for at that time [task.performer]
    task_performer_type text,         -- kind of performer [task.performerType]
    comment_id          bigint,       -- comment the change is about; joins crm.task_comments.id [comment.id]
    comment_text        text,         -- its text at that time [comment.text]
    LIKE bookkeeping INCLUDING COMMENTS,
    PRIMARY KEY (store_id, id)
);
CREATE INDEX task_history_by_task_id ON crm.task_history (store_id, task_id);

-- Comments on tasks
CREATE TABLE crm.task_comments (
    store_id   bigint,       -- crm.store.store_id
    id         bigint,       -- RetailCRM's id [id]
    task_id    bigint,       -- joins crm.tasks.id
    text       text,         -- text [text]
    creator    bigint,       -- user who wrote it [creator]
    created_at timestamptz,  -- when it was written [createdAt]
    updated_at timestamptz,  -- when it was last edited [updatedAt]
    LIKE bookkeeping INCLUDING COMMENTS,
    PRIMARY KEY (store_id, id)
);
CREATE INDEX task_comments_by_task_id ON crm.task_comments (store_id, task_id);
