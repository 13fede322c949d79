"""Message templates, by channel."""

from __future__ import annotations

from sync.sandbox.kind import Kind, Seeding
from sync.sandbox.lists import ListMethod


def seed(seeding: Seeding) -> None:
    seeding.account.store.fill(
        "templates",
        [
            {"id": n, "externalId": n + 100, "mgChannelId": 1, "channel": {"id": 1, "name": "Bot"},
             "code": f"hello#{n}", "name": f"Hello {n}", "active": n != 2,
             "template": ["Hi, ", {"var": "name"}],
             "templateExample": ["Ana"], "namespace": "sandbox", "lang": "es",
             "category": "marketing",
             "header": {"text": {"parts": ["Hi"]}}, "footer": "bye", "buttons": [],
             "verificationStatus": "approved"}
            for n in (1, 2, 3)
        ],
    )  # fmt: skip


TEMPLATES = Kind(
    "templates",
    scope="reference_read",
    methods={
        "reference/mg-channels/templates": ListMethod("templates", "templates", {}, order="oldest")
    },
    seed=seed,
)
