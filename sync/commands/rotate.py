"""Command rotate-key: encrypt every store's API key again under the current SYNC_SECRET_KEY."""

from __future__ import annotations

from pathlib import Path

import click
import sqlalchemy as sa

from sync import vault
from sync.commands.services import at_head, secret_key
from sync.commands.shell import examples, say
from sync.database.engine import attempts
from sync.errors import BadRequest, NeedsOperator
from sync.state import acts, stores


@click.command(name="rotate-key", epilog=examples("rotate-key --old-key-file old_key"))
@click.option(
    "--old-key-file",
    "files",
    multiple=True,
    required=True,
    metavar="F",
    help="File with an earlier SYNC_SECRET_KEY; repeatable.",
)
def rotate_key(files: tuple[str, ...]) -> None:
    """Encrypt every store's API key with the new SYNC_SECRET_KEY. Stop the workers first.

    All keys change in one transaction; running it again changes nothing.
    """
    old = [_key_in(file) for file in files]
    found = at_head()
    key = secret_key(found)
    for attempt in attempts(found.engine):
        with attempt as connection:
            # Lock out `store add` and `store set` until the end.
            connection.execute(sa.text("LOCK TABLE sync.store IN SHARE ROW EXCLUSIVE MODE"))
            count = 0
            for store in stores.every(connection):
                if store.sealed_under in ("", key.fingerprint):
                    continue
                try:
                    under_old = stores.sealed_key(connection, store.id)
                    plain = vault.unseal(under_old, key=key, old_keys=old, store_id=store.id)
                except NeedsOperator as error:
                    raise NeedsOperator(f"{store.name}: {error} Nothing was changed.") from error
                sealed = vault.seal(plain, key=key, store_id=store.id)
                stores.set_key(connection, store.id, sealed_key=sealed)
                count += 1
            if count:
                acts.note(connection, "rotate-key", detail=f"{count} stores")
    keys = "1 store's key is" if count == 1 else f"{count} stores' keys are"
    say(f"{keys} sealed anew under {key.fingerprint}." if count else "Nothing to seal anew.")


def _key_in(file: str) -> vault.Key:
    try:
        text = Path(file).expanduser().read_text("ascii")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise BadRequest(f"The key file {file} cannot be read: {reason}.") from None
    try:
        return vault.Key.parse(text)
    except NeedsOperator as error:
        raise BadRequest(f"{file}: {error}") from None
