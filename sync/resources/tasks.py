"""Tasks, the history of their changes, and their comments.

Comments have a method per task. The history has an entry for a new comment, so a task's comments
are read again with the task. The comments of all tasks are read once a day, because edits and
deletions may have no entry.
"""

from sync.declare import (
    BOOLEAN,
    CODE,
    DATETIME,
    ID,
    JSON,
    MINUTE,
    TEXT,
    DateWindows,
    Field,
    FullRefresh,
    HistoryFeed,
    PageNumbers,
    Parent,
    Reread,
    Resource,
    SinceId,
)

TASKS = Resource(
    name="tasks",
    singular="task",
    path="/api/v5/tasks",
    answer_key="tasks",
    listing=DateWindows("createdAtFrom", "createdAtTo"),
    changes=HistoryFeed("task_history"),
    single="/api/v5/tasks/{id}",
    single_key="task",
    scope="task_read",
    rereads=(Reread("task_comments", "id"),),
    note="Tasks of users",
    fields=(
        Field("id", ID, "id", "RetailCRM's id"),
        Field("text", TEXT, "text", "what is to be done"),
        Field("commentary", TEXT, "commentary", "comment"),
        Field("datetime", MINUTE, "datetime", "when it is due"),
        Field("created_at", DATETIME, "createdAt", "when it was made"),
        Field("complete", BOOLEAN, "complete", "done"),
        Field("completed_at", DATETIME, "completedAt", "when it was done"),
        Field("creator", ID, "creator", "user who made it"),
        Field("performer", ID, "performer", "whom it is for; performer_type says what this id is"),
        Field("performer_id", ID, "performerId", "mostly empty: the id is in performer"),
        Field("performer_type", CODE, "performerType", "kind of performer"),
        Field("phone", TEXT, "phone", "phone to call"),
        Field("phone_site", CODE, "phoneSite", "site to call from"),
        Field("customer_id", ID, "customer.id", "joins crm.customers.id or corporate_customers"),
        Field("customer_type", CODE, "customer.type", "customer or customer_corporate"),
        Field("customer_external_id", TEXT, "customer.externalId", "customer's id in the shop"),
        Field("customer_site", CODE, "customer.site", "customer's site"),
        Field("order_id", ID, "order.id", "joins crm.orders.id"),
        Field("order_number", TEXT, "order.number", "order's number"),
        Field("order_external_id", TEXT, "order.externalId", "order's id in the shop"),
        Field("order_site", CODE, "order.site", "order's site"),
    ),
)

TASK_HISTORY = Resource(
    name="task_history",
    singular="task_history_entry",
    path="/api/v5/tasks/history",
    answer_key="history",
    listing=SinceId(subject="task", target="tasks"),
    changes=FullRefresh(every_seconds=15),
    scope="task_read",
    note="Changes of tasks, one entry per changed field; entries never change",
    fields=(
        Field("id", ID, "id", "entry id, ascending"),
        Field("created_at", DATETIME, "createdAt", "when the change was made"),
        Field("created", BOOLEAN, "created", "true on the entry that made the task"),
        Field(
            "deleted", BOOLEAN, "deleted", "true on the entry that deleted it, if the API has such"
        ),
        Field("source", CODE, "source", "who made it: user, api, code, rule"),
        Field("user_id", ID, "user.id", "user who made it"),
        Field("api_key_current", BOOLEAN, "apiKey.current", "made with the mirror's own key"),
        Field("field", CODE, "field", "changed field, in the history's own names"),
        Field("old_value", JSON, "oldValue", "before: null, scalar, or object with id or code"),
        Field("new_value", JSON, "newValue", "after: null, scalar, or object with id or code"),
        Field("task_id", ID, "task.id", "joins crm.tasks.id"),
        Field("task_complete", BOOLEAN, "task.complete", "whether it was done at that time"),
        Field("task_performer", ID, "task.performer", "whom it was for at that time"),
        Field("task_performer_type", CODE, "task.performerType", "kind of performer"),
        Field(
            "comment_id",
            ID,
            "comment.id",
            "comment the change is about; joins crm.task_comments.id",
        ),
        Field("comment_text", TEXT, "comment.text", "its text at that time"),
    ),
    raw_only=(("task", "the task as of the change"),),
)

TASK_COMMENTS = Resource(
    name="task_comments",
    singular="task_comment",
    path="/api/v5/tasks/{id}/comments",
    answer_key="comments",
    listing=PageNumbers(),
    changes=FullRefresh(every_seconds=86_400),
    scope="task_read",
    parent=Parent("tasks", "task_id"),
    note="Comments on tasks",
    fields=(
        Field("id", ID, "id", "RetailCRM's id"),
        Field("task_id", ID, "", "joins crm.tasks.id"),
        Field("text", TEXT, "text", "text"),
        Field("creator", ID, "creator", "user who wrote it"),
        Field("created_at", DATETIME, "createdAt", "when it was written"),
        Field("updated_at", DATETIME, "updatedAt", "when it was last edited"),
    ),
)
