"""The list of erased persons as a file, to be given back to a database restored from a backup.

The file holds keyed hashes and the secret they are made with. It names nobody, but who has it can
test whether a known id, phone or e-mail is on the list, so only its owner may read it.
"""

from __future__ import annotations

import datetime as dt
import json
import os
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from sync.errors import BadRequest
from sync.privacy import erasure
from sync.rows import suppress
from sync.rows.suppress import Entry
from sync.state import lanes, stores

_FORMAT = "mirror suppression list 1"


def save(connection: sa.Connection, path: Path) -> int:
    """Write the whole list to a new file that only its owner may read; return the entries.

    BadRequest when there is a file of that name.
    """
    salt, entries = suppress.listed(connection)
    told = {
        "format": _FORMAT,
        "salt": salt.hex(),
        "entries": [
            [entry.account, entry.resource, entry.digest.hex(), entry.erased_at.isoformat()]
            for entry in entries
        ],
    }
    try:
        number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise BadRequest(f"{path} exists; name a new file.") from None
    except OSError as error:
        raise BadRequest(f"{path} cannot be written: {error.strerror}") from error
    with os.fdopen(number, "w", encoding="utf-8") as file:
        json.dump(told, file)
    return len(entries)


def restore(connection: sa.Connection, path: Path) -> tuple[int, int]:
    """Add a saved list, and mask what is stored of its persons; return new entries and masked rows.

    BadRequest for a file that is no such list.
    """
    try:
        salt, entries = _parsed(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise BadRequest(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, LookupError, TypeError) as error:
        raise BadRequest(
            f"{path} is no list that `suppression save` wrote ({type(error).__name__})."
        ) from error
    new = suppress.restore(connection, salt, entries)
    ids = list(
        connection.exec_driver_sql(
            "SELECT DISTINCT s.id FROM sync.store AS s"
            " JOIN sync.suppressed AS t USING (account) ORDER BY 1"
        ).scalars()
    )
    lanes.lock_all(connection, ids)
    found = (stores.by_id(connection, store_id) for store_id in ids)
    return new, sum(erasure.erase_again(connection, store) for store in found if store)


def _parsed(told: Any) -> tuple[bytes, list[Entry]]:
    entries = {
        _FORMAT: [
            Entry(account, resource, bytes.fromhex(digest), dt.datetime.fromisoformat(at))
            for account, resource, digest, at in told["entries"]
        ]
    }
    return bytes.fromhex(told["salt"]), entries[told["format"]]
