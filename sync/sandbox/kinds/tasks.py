"""Tasks and their comments. No history has an entry for a deleted task."""

from __future__ import annotations

from random import Random
from typing import Any

from sync.sandbox import shapes
from sync.sandbox.account import Account
from sync.sandbox.aggregates import BUYERS
from sync.sandbox.calls import Call
from sync.sandbox.filters import Deep, Filter, among, dates, text
from sync.sandbox.history_format import Word, merged, words
from sync.sandbox.kind import Kind, Left, Seeding
from sync.sandbox.lists import CREATED, FeedMethod, ListMethod
from sync.sandbox.php import Json, values
from sync.sandbox.records import Record
from sync.sandbox.saves import Save
from sync.sandbox.shapes import Done, Shape, checked, editing, flag, making, minute, user
from sync.sandbox.shop import short
from sync.sandbox.singles import SingleMethod, find
from sync.sandbox.writes import known


def _task_status(wanted: str) -> Deep:
    return lambda task: bool(task.get("complete")) is (wanted == "completed")


FILTERS = {
    **among(orderNumber="order.number", performers="performer", creators="creator"),
    **text("text", customer="customer.id"),
    "status": Filter(lambda _, given: _task_status(values(given)[0])),
    **dates(date="datetime", completedAt="completedAt"),
}  # fmt: skip


TASK = Shape(
    {
        **shapes.text("text", "commentary", "phone", "phoneSite"), **minute("datetime"),
        **flag("complete"), "performerId": user(), "order": known("orders"),
        "customer": known(*BUYERS),
    },
    needs=("text", "performerId"),
)  # fmt: skip


def create_task(account: Account, **fields: Any) -> int:
    with account.saving("user") as save:
        task = merged(_new(account, account.rng, created=save.text), fields)
        return _put(account, save, task)


def _put(account: Account, save: Save, task: Json) -> int:
    record = account.store.record(task, site=None)
    save.came("tasks", record, Word("id", None, record.id), stub=task)
    return record.id


def update_task(account: Account, task_id: int, **changes: Any) -> int:
    with account.saving("user") as save:
        _, old = account.store.loaded("tasks", task_id)
        new = merged(old, changes)
        if new.get("complete") and not old.get("complete"):
            new["completedAt"] = save.text
        record = account.store.record(new, site=None)
        save.put("tasks", record)
        for word in words("task", old, new):
            save.say("tasks", record, word, stub=new)
        return record.id


def comment_task(account: Account, task_id: int, text: str) -> int:
    with account.saving("user") as save:
        record, task = account.store.loaded("tasks", task_id)
        made = _new_comment(account, text, account.user_ids[0], save.text)
        number = made["id"]
        save.put("task-comments", account.store.record(made, customer=record.id))
        word = Word("comment", None, {"id": number}, {"comment": {"id": number, "text": text}})
        save.say("tasks", record, word, stub=task)
        return int(number)


def delete_task(account: Account, task_id: int) -> int:
    with account.saving(silent=True) as save:
        save.drop("tasks", account.must("tasks", task_id).id, "removed")
        return int(task_id)


def _new(account: Account, rng: Random, *, created: str, order: Json | None = None) -> Json:
    task: Json = {
        "id": account.store.take_id("tasks"), "text": "Позвонить", "commentary": "",
        "datetime": created[:16], "createdAt": created, "complete": False,
        "creator": rng.choice(account.user_ids), "performer": rng.choice(account.user_ids),
        "performerType": "user",
    }  # fmt: skip
    if order is not None:
        task["order"] = order
    if rng.random() < 0.4:
        task |= {"complete": True, "completedAt": created}
    return task


def _new_comment(account: Account, text: str, creator: int, when: str) -> Json:
    return {"id": account.store.take_id("task-comments"), "creator": creator, "text": text,
            "createdAt": when, "updatedAt": when}  # fmt: skip


# --- seeding


def of_order(seeding: Seeding, order: Json, die: float) -> Left:
    """Create tasks for few orders beyond the first ones: their comments cost a request each."""
    account, rng, store = seeding.account, seeding.rng, seeding.account.store
    share = 0.15 if seeding.number < 200 else 0.005
    if 0.3 < die < 0.3 + share:
        whose = {**short(order), "site": order["site"]}
        task = _new(account, rng, created=order["createdAt"], order=whose)
        yield "tasks", store.record(task, site=None)
        for n in range(rng.randint(0, 2)):
            creator = rng.choice(account.user_ids)
            comment = _new_comment(account, f"Тест {n}", creator, order["createdAt"])
            yield "task-comments", store.record(comment, customer=task["id"])


def created(seeding: Seeding, record: Record, task: Json) -> None:
    """Write the task's `created` entry with the date of the task; its save is dated yesterday."""
    body: Json = {"created": True, "source": "rule", "field": "id", "oldValue": None,
                  "newValue": record.id, "task": task}  # fmt: skip
    account = seeding.account
    at = account.clock.now() - 86400
    account.writer.made("tasks", record, body, at=at, text=task["createdAt"])


# --- writes


def _sent(account: Account, form: Json) -> Json:
    """Return a form as the task holds it: the performer's id, and whose it is."""
    held = {k: v for k, v in form.items() if k not in ("performerId", "order", "customer")}
    if "performerId" in form:
        held |= {"performer": form["performerId"], "performerType": "user"}
    if form.get("order") is not None:
        order = account.collections["orders"].load(form["order"])
        held["order"] = {**short(order), "site": order["site"]}
    if form.get("customer") is not None:
        person = form["customer"]
        held["customer"] = {"id": person.id, "site": person.site}
    return held


def create(call: Call, value: Any) -> Done:
    form = checked(call, TASK, value, "Task", makes=True)
    account = call.account
    with account.saving("api") as save:
        task: Json = {
            "id": account.store.take_id("tasks"), "commentary": "", "createdAt": save.text,
            "complete": False, "creator": account.user_ids[0],
        } | {k: v for k, v in _sent(account, form).items() if v is not None}  # fmt: skip
        if task["complete"]:
            task["completedAt"] = save.text
        return Done({"id": _put(account, save, task)})


def edit(call: Call, value: Any) -> Done:
    record = find(call, "tasks", call.args[0], by_external=False)
    form = checked(call, TASK, value, "Task", makes=False)
    return Done({"id": update_task(call.account, record.id, **_sent(call.account, form))})


TASKS = Kind(
    "tasks",
    scope="task_read",
    subject="task",
    methods={
        "tasks": ListMethod("tasks", "tasks", FILTERS, order="id_desc", created=CREATED),
        "tasks/{id}": SingleMethod("tasks", "task"),
        "tasks/history": FeedMethod("tasks", "taskId"),
    },
    writes={
        "tasks/create": making(create, "task", TASK),
        "tasks/{id}/edit": editing(edit, "task", TASK),
    },
    mutations=(create_task, update_task, comment_task, delete_task),
    after=("costs",),  # of the same orders, which draw their random numbers first
    left_by={"orders": of_order},
    created=created,
)
COMMENTS = Kind(
    "task-comments",
    scope="task_read",
    methods={
        "tasks/{id}/comments": ListMethod(
            "task-comments", "comments", {}, order="id_desc", parent="tasks"
        )
    },
)
