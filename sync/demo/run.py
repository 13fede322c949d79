"""The steps of the demo. Each prints what it does and how long it took."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shlex
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

import sqlalchemy as sa

from sync.database.engine import Transaction, attempts, reading
from sync.demo import answers, madeup, progress
from sync.demo.children import Children, environment, pause, shown, variable
from sync.demo.madeup import MadeUp
from sync.embedded import servers, urls
from sync.errors import BadRequest, SyncError
from sync.settings import Settings
from sync.state import accounts, stores
from sync.state.status import StoreStatus
from sync.work.services import services

CHANGE_SECONDS = 60.0
PAGE_PORT = 8080


def store_name(url: str) -> str:
    """Return a name for the store at an address: `shop` of https://shop.retailcrm.ru.

    An IP address is no name of a shop, and keeps all its parts.
    """
    host = urlsplit(url).hostname or "store"
    name = host.split(".")[0]
    is_address = host.replace(".", "").isdigit() or ":" in host
    return host.replace(":", "-") if is_address or name in madeup.NAMES else name


class Stopped(BaseException):
    """Ctrl-C or SIGTERM was received: stop everything."""


class Failed(SyncError):
    """A step of the demo failed."""


def run(settings: Settings, *, stay: bool) -> int:
    """Run the demo to its end, or until stopped, then stop all it started; return exit status."""
    folder = settings.data_dir / "demo"
    values = {"SYNC_DATA_DIR": str(settings.data_dir)}
    if stay and not variable("SYNC_WEB_TOKEN"):
        values["SYNC_WEB_TOKEN"] = secrets.token_urlsafe(18)
    try:
        with alone(folder), _stoppable(), Children(folder, environment(**values)) as children:
            play = Play(settings, children, folder, with_page=stay)
            try:
                play.run()
                if stay:
                    play.stay()
            except Stopped:
                say("\nStopping.")
                return 0 if play.is_shown else 3
    except BadRequest:
        raise
    except SyncError as error:
        say(f"\nIt failed: {error}")
        return 1
    say(f"Everything is stopped; the data stays in {_short(settings.data_dir)}.")
    return 0


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold the folder of the demo; BadRequest while another one runs in it.

    A second one would start a second worker, and empty the logs of the first.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a+", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            raise BadRequest(
                f"`make up` or `make run` is at work here already (process {file.read() or '?'}): "
                "use that one, or stop it with Ctrl-C first. For another beside it, give it a "
                "folder of its own: SYNC_DATA_DIR=.data2 make up"
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


class Play:
    """The steps of the demo, in order."""

    def __init__(
        self, settings: Settings, children: Children, folder: Path, *, with_page: bool = False
    ) -> None:
        self._with_page, self._address = with_page, ""
        self._settings, self._children, self._folder = settings, children, folder
        self._crm: MadeUp | None = None
        self._names: list[str] = []
        self.is_shown = False

    def run(self) -> None:
        """Run all steps."""
        began = time.monotonic()
        real = (variable("STORE_URL"), variable("API_KEY"))
        if any(real) and not all(real):
            raise BadRequest(
                "Set both STORE_URL and API_KEY to mirror your own account, or neither."
            )
        # Two years of orders take seconds to make up: the servers start meanwhile.
        crm = None if any(real) else madeup.begin(self._children, self._folder)
        self._servers()
        self._command("doctor", "--before-migrate")
        self._command("migrate")
        if crm is not None:
            self._crm = madeup.ready(self._children, *crm[:2], is_new=crm[2])
            made = ", ".join(
                f"{a.name} ({a.zone}, {a.orders:,} orders)" for a in self._crm.accounts
            )
            say(f"A made-up RetailCRM is at {self._crm.url}: {made}; "
                f"{_a_second(madeup.CHURN_PER_SECOND)}.")  # fmt: skip
            say(
                f"Like a real one it is untidy: {_untidiness()}. What it tells is at most "
                f"{madeup.LATENESS_SECONDS:g} s late, so its claims are that much older; on a real "
                "account 60 s."
            )
        chosen = list(self._accounts(real))
        with self._reading() as connection:
            before = progress.pages(connection, [name for name, _, _ in chosen])
        if crm is None:
            # Only once it is known that the real account takes the key.
            for name, url, key in chosen:
                self._store(name, url, key)
            self._put_aside()
        self._workers()
        if self._with_page:
            self._page()
        worked = time.monotonic()
        for name, url, key in chosen if crm is not None else ():
            self._store(name, url, key)
        self._load(worked, before)
        self._questions()
        if self._crm is not None:
            self._change(self._crm)
        self._budget()
        self._psql()
        self.is_shown = True
        say(f"\nThat took {time.monotonic() - began:.0f} s.")

    def stay(self) -> None:
        """Wait until Ctrl-C, or until a process ends by itself."""
        say("Staying up: worker, beat" + (" and the made-up RetailCRM" if self._crm else "")
            + f"; logs are in {_short(self._folder)}. Ctrl-C stops all of it.")  # fmt: skip
        if self._address:
            say(f"The status page: {self._address} (log in with {self._token()})")
        while True:
            self._children.check()
            pause(0.5)

    def _reading(self) -> Transaction:
        return reading(services().engine)

    def _servers(self) -> None:
        began = time.monotonic()
        urls(self._settings)
        embedded = self._settings.database_url is None
        where = f"from {_short(self._settings.data_dir)}" if embedded else "as set"
        say(f"Postgres and Redis, {where}: up in {time.monotonic() - began:.1f} s.")

    def _workers(self) -> None:
        for name, line in (
            ("worker", ("celery", "-A", "sync", "worker", "-Q", "feeds,crawls")),
            ("beat", ("celery", "-A", "sync", "beat")),
        ):
            child = self._children.start(name, *line)
            say(f"$ {shown(line):<44} # pid {child.process.pid}, {_short(child.log)}")

    def _page(self) -> None:
        """Start the status page and print its address and token."""
        if find_spec("jinja2") is None:
            return
        port = PAGE_PORT if madeup.is_free(PAGE_PORT) else madeup.free_port()
        self._children.start("web", "celery", "-A", "sync", "mirror", "web", "--port", str(port))
        self._address = f"http://127.0.0.1:{port}"
        say(f"The status page is at {self._address}; log in with {self._token()}")

    def _token(self) -> str:
        return self._children.value("SYNC_WEB_TOKEN")

    def _command(self, *arguments: str, **extra: str) -> None:
        """Run a command as an operator would, and print its output."""
        say(f"$ celery -A sync mirror {shown(arguments)}")
        done = self._children.command(*arguments, **extra)
        for line in (done.stdout + done.stderr).splitlines():
            say(f"  {line}")
        if done.returncode:
            self._children.check()
            raise Failed(f"the command ended with status {done.returncode}")

    def _accounts(self, real: tuple[str, str]) -> Iterator[tuple[str, str, str]]:
        if self._crm is None:
            yield store_name(real[0]), real[0], real[1]
            return
        for account in self._crm.accounts:
            yield account.name, self._crm.url, account.reader

    def _put_aside(self) -> None:
        """Disable the made-up stores, so that they use none of a real account's request budget."""
        address = madeup.address(self._folder)
        with self._reading() as connection:
            known = stores.every(connection)
        for store in known:
            mine = store.name in madeup.NAMES and store.url == address
            if mine and store.enabled and not accounts.is_removed(store):
                self._command("store", "disable", store.name)

    def _store(self, name: str, url: str, key: str) -> None:
        """Add a store, or set the address and key of one that exists."""
        with self._reading() as connection:
            known = next((s for s in stores.every(connection) if s.name == name), None)
        if known is not None and self._crm is not None and self._crm.is_new:
            # Its journal is gone, and so are the accounts the rows were read from.
            self._command("store", "remove", name, "--purge", "--yes")
            known = None
        if known is None or accounts.is_removed(known):
            self._command("store", "add", name, url, "--api-key-env", "DEMO_KEY", DEMO_KEY=key)
        elif known.url != url.rstrip("/").lower():
            self._command(
                "store", "set", name, "--url", url, "--api-key-env", "DEMO_KEY", DEMO_KEY=key
            )
        else:
            say(f"  {name} is mirrored already: it goes on where it was.")
        if known is not None and not known.enabled and not accounts.is_removed(known):
            self._command("store", "enable", name)
        bound = None if self._crm is None else madeup.LATENESS_SECONDS
        for attempt in attempts(services().engine):
            with attempt as connection:
                stores.set_least_lateness(connection, name, seconds=bound)
        self._names.append(name)

    def _load(self, began: float, before: progress.Pages) -> None:
        say("\nLoading, while the accounts change:" if not before.pages else "\nResuming:")
        told = progress.watch(services().engine, self._names, self._children.check, began=began)
        self._insist(told)
        seconds = time.monotonic() - began
        with self._reading() as connection:
            after = progress.pages(connection, self._names)
            covered = _coverage(connection, self._names)
        rows = sum(line.mirrored for each in told for line in each.resources)
        followed = after.entries - before.entries
        if before.pages:
            say(
                f"Resumed in {seconds:.0f} s: {before.pages:,} pages of the load were here, "
                f"{after.pages - before.pages:,} were read now, {followed:,} history entries "
                f"followed; {rows:,} live rows."
            )
        else:
            say(
                f"Complete in {seconds:.0f} s: {rows:,} live rows by {after.pages:,} pages, "
                f"{followed:,} history entries followed meanwhile."
            )
        for line in covered:
            say(f"  {line}")

    def _insist(self, told: list[StoreStatus]) -> None:
        for each in told:
            for line in each.resources:
                if line.parked or each.store.error:
                    raise Failed(f"{each.store.name} {line.resource}: {line.error}")
                if line.state == "unavailable":
                    say(f"  not given: {each.store.name} {line.resource}: {line.error}")

    def _questions(self) -> None:
        for question, sql in answers.QUESTIONS:
            say(f"\n{question}:")
            with self._reading() as connection:
                found = answers.answer(connection, sql, stores=self._names)
            for line in answers.table(*found):
                say(f"  {line}")

    def _change(self, crm: MadeUp) -> None:
        """Change an order by the API, as any program would; measure until SQL shows it."""
        account, key = crm.accounts[0].name, crm.accounts[0].key
        with self._reading() as connection:
            newest = _newest_orders(connection, account)
        text = f"seen at {time.time():.3f}"
        form = {"by": "id", "order": json.dumps({"managerComment": text})}
        for order in newest:
            told = crm.post(f"orders/{order}/edit", form, key=key)
            if told is not None:
                break
        else:
            raise Failed(f"none of the newest orders of {account} can be changed")
        began = time.monotonic()
        sent = " ".join(f"--data-urlencode {shlex.quote(f'{k}={v}')}" for k, v in form.items())
        say(f"\n$ curl -H 'X-API-KEY: …' {sent} {crm.url}/api/v5/orders/{order}/edit")
        say(f'  {{"success": {str(told["success"]).lower()}, "id": {told["id"]}, …}}')
        while True:
            with self._reading() as connection:
                if _comment(connection, account, order) == text:
                    break
            self._children.check()
            if time.monotonic() - began > CHANGE_SECONDS:
                raise Failed(f"order {order} of {account} still lacks its comment")
            pause(0.05)
        say(
            f"One change: order {order} of {account} got a comment in the CRM; crm.orders showed "
            f"it {time.monotonic() - began:.1f} s later (feeds are looked at every "
            f"{self._settings.feed_seconds:g} s)."
        )

    def _budget(self) -> None:
        report = services().limiter.report()[0]
        granted = sum(usage.granted for usage in report.usage.values())
        refused = sum(usage.refused for usage in report.usage.values())
        say(
            f"\nRequest budget: {granted:,} requests granted, {report.used_last_minute:.0%} of "
            f"{report.limit:g} a second used in the last whole minute, {refused} refused (503)."
        )
        if self._crm is not None:
            seen = self._crm.ask("/oracle/requests")
            say(
                f"The CRM counted {seen['count']:,} requests this time, at most "
                f"{seen['busiest_second']} in any sliding second, {seen['refused']} answered 503."
            )
            if granted != seen["count"]:
                say(
                    "The two differ by requests of earlier runs, which the budget counts too, and "
                    f"by slots that nobody used in the end ({report.lost:,}: a thread woke too "
                    "late, and asked for another)."
                )

    def _psql(self) -> None:
        if self._settings.database_url is not None:
            say("\nLook around in the database of SYNC_DATABASE_URL. With Docker Compose:")
            say("docker compose exec postgres psql --username mirror mirror")
            return
        line = shlex.join(servers(self._settings.data_dir).psql_command)
        say(f"\nLook around (while `make up` runs): {line}")


def _coverage(connection: sa.Connection, names: Sequence[str]) -> list[str]:
    """Return crm.coverage of the most important resources as a table."""
    columns, rows = answers.answer(
        connection,
        "SELECT store, resource, expected, mirrored, state, to_char(complete_as_of,"
        " 'YYYY-MM-DD HH24:MI:SS') AS complete_as_of FROM crm.coverage WHERE resource IN"
        " ('orders', 'order_history', 'customers', 'customer_history', 'statuses')"
        " AND store = ANY (:stores) ORDER BY store, resource",
        stores=names,
    )
    return answers.table(columns, rows)


def _newest_orders(connection: sa.Connection, name: str) -> list[int]:
    """Return some: the account goes on changing, and may have deleted the newest a moment ago."""
    return list(
        connection.execute(
            sa.text(
                "SELECT o.id FROM crm.orders AS o JOIN crm.store AS s USING (store_id)"
                " WHERE s.name = :name AND o.deleted_at IS NULL ORDER BY o.id DESC LIMIT 9"
            ),
            {"name": name},
        ).scalars()
    )


def _comment(connection: sa.Connection, name: str, order: int) -> Any:
    return connection.execute(
        sa.text(
            "SELECT o.manager_comment FROM crm.orders AS o JOIN crm.store AS s USING (store_id)"
            " WHERE s.name = :name AND o.id = :id"
        ),
        {"name": name, "id": order},
    ).scalar()


def _a_second(changes: float) -> str:
    return "one change a second" if changes == 1 else f"{changes:g} changes a second"


def _untidiness() -> str:
    (_, late), lag = madeup.ENTRIES_LATE_SECONDS, madeup.LISTS_LAG_SECONDS
    share = f"{madeup.ENTRIES_LATE_SHARE:.0%}"
    return f"{share} of its history come up to {late:g} s late, its lists lag by {lag:g} s"


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _short(path: Path) -> str:
    """Return the path relative to the current folder when it is below it."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


@contextmanager
def _stoppable() -> Iterator[None]:
    """Turn SIGINT and SIGTERM into Stopped, once; a second signal is ignored while stopping."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def stop(*_: object) -> NoReturn:
        for number in before:
            signal.signal(number, signal.SIG_IGN)
        raise Stopped

    for number in before:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
