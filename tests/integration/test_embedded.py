"""The embedded servers: who starts them, who stops them, and what is left when somebody dies."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pytest
import redis
import sqlalchemy as sa

import sync
from sync.embedded import Servers, Shutdown, private, remove, servers, urls
from sync.embedded.account import OWN_IDS, Account, server_account
from sync.embedded.process import is_running, wait_until
from sync.errors import NeedsOperator
from sync.settings import Settings
from tests import in_memory

ROOT = Path(sync.__file__).parents[1]
# A shell that starts the tests in the background has them ignore Ctrl-C, and so their children.
HOLD = """
import signal
import sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from sync.embedded import servers
pair = servers(sys.argv[1], fast=True)
print(pair.postgres.pid, pair.valkey.pid, flush=True)
sys.stdin.read()
"""
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root changes users")


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A folder every user can reach (pytest's own is closed), gone with its servers at the end."""
    folder = Path(tempfile.mkdtemp(prefix="mirror-embedded-", dir=in_memory.run))
    folder.chmod(0o755)
    yield folder / "data"
    remove(folder / "data")
    folder.rmdir()


def python(code: str, *arguments: object) -> subprocess.Popen[str]:
    """Another process of ours, in a process group of its own, as a terminal makes them."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        process_group=0,
    )


@contextmanager
def holder(data_dir: Path) -> Iterator[tuple[subprocess.Popen[str], int, int]]:
    """A process that uses the servers until its input ends: itself, Postgres's and valkey's pid."""
    with python(HOLD, data_dir) as process:
        try:
            yield process, *pids_of(process)
        finally:
            process.kill()


def pids_of(process: subprocess.Popen[str]) -> tuple[int, int]:
    assert process.stdout is not None
    postgres, valkey = process.stdout.readline().split()
    return int(postgres), int(valkey)


def leave(process: subprocess.Popen[str]) -> None:
    """Let a holder end in its own time."""
    process.communicate(timeout=60)
    assert process.returncode == 0


def answers(pair: Servers) -> bool:
    with pair.postgres.connect() as connection, pair.valkey.connect() as client:
        return connection.execute("SELECT 1").fetchone() == (1,) and bool(client.ping())


def command_lines() -> str:
    """What `ps` would show to anybody."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has just ended
            found.append(path.read_text(errors="replace"))
    return "\n".join(found)


def lives(data_dir: Path, *pids: int) -> list[bool]:
    return [is_running(pid, str(data_dir)) for pid in pids]


def test_importing_and_asking_for_servers_starts_nothing(data_dir: Path) -> None:
    """`--help` and imports cost no server: the first use of a URL starts it."""
    pair = servers(data_dir)
    assert not data_dir.exists()
    pair.release()
    assert not data_dir.exists()


def test_each_server_is_started_alone(data_dir: Path) -> None:
    """Who names a Postgres of his own gets only the valkey, and the reverse."""
    with Servers(data_dir, fast=True) as pair:
        assert pair.redis_url
        assert not (data_dir / "postgres").exists()


def test_urls_leave_named_servers_alone(data_dir: Path) -> None:
    settings = Settings.from_env(
        {
            "SYNC_DATA_DIR": str(data_dir),
            "SYNC_DATABASE_URL": "postgres://u:p@db.example.com/d",
            "SYNC_REDIS_URL": "redis://r.example.com/0",
            "SYNC_SECRET_KEY": "A" * 43 + "=",
        }
    )
    found = urls(settings)
    assert found.database_url == "postgresql+psycopg://u:p@db.example.com/d"
    assert found.redis_url == "redis://r.example.com/0"
    assert "p@" not in repr(found)
    assert not data_dir.exists()


def test_the_servers_are_as_safe_as_a_mirror_needs(data_dir: Path) -> None:
    """Durable, checksummed, sorted by code point, open to loopback and to its password only."""
    with Servers(data_dir) as pair:
        engine = sa.create_engine(pair.database_url)
        with engine.connect() as connection:
            asked = "fsync synchronous_commit full_page_writes data_checksums listen_addresses"
            asked += " server_encoding password_encryption unix_socket_directories"
            found = {name: connection.scalar(sa.text(f"SHOW {name}")) for name in asked.split()}
            assert connection.scalar(sa.text("SELECT upper('щё')")) == "ЩЁ"
        engine.dispose()
        assert found == {
            "fsync": "on",
            "synchronous_commit": "on",
            "full_page_writes": "on",
            "data_checksums": "on",
            "listen_addresses": "127.0.0.1",
            "server_encoding": "UTF8",
            "password_encryption": "scram-sha-256",
            "unix_socket_directories": "",
        }
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(pair.database_url.replace("+psycopg://mirror:", "://mirror:x"))
        with pair.valkey.connect() as client:
            config = client.config_get()
        assert config["appendonly"] == "yes"
        assert config["appendfsync"] == "everysec"
        assert config["maxmemory-policy"] == "noeviction"
        assert config["bind"] == "127.0.0.1"
        stranger = redis.Redis(port=pair.valkey.port or 0)
        with stranger, pytest.raises(redis.AuthenticationError):
            stranger.ping()


def test_passwords_are_on_no_command_line_and_in_no_log(data_dir: Path) -> None:
    with Servers(data_dir, fast=True) as pair:
        secrets = [pair.postgres.password, pair.valkey.password]
        shown = command_lines() + repr(pair.postgres) + repr(pair.valkey)
        shown += pair.postgres.log.read_text() + pair.valkey.log.read_text()
        assert str(data_dir) in shown
        assert not [secret for secret in secrets if secret in shown]
        for name in ("embedded.json", "valkey.conf", "postgres.log"):
            assert (data_dir / name).stat().st_mode & 0o077 == 0
        assert not list(data_dir.glob("initdb-*"))


def test_psql_is_at_hand(data_dir: Path) -> None:
    with Servers(data_dir, fast=True) as pair:
        command = pair.psql_command
        assert pair.postgres.password not in " ".join(command)
        ask = [*command, "-Atc", "SELECT current_database()"]
        done = subprocess.run(ask, check=True, capture_output=True, text=True)
        assert done.stdout == "mirror\n"


@as_root
def test_as_root_the_servers_are_not_root(data_dir: Path) -> None:
    """Postgres refuses root, and neither needs it: an ordinary user, in none of root's groups."""
    with Servers(data_dir, fast=True) as pair:
        for pid in (pair.postgres.pid, pair.valkey.pid):
            status = Path(f"/proc/{pid}/status").read_text().splitlines()
            fields = dict(line.split(":", 1) for line in status)
            assert "0" not in fields["Uid"].split()
            assert "0" not in fields["Gid"].split()
            assert not fields["Groups"].split()
            assert {int(each) for each in fields["Uid"].split()} <= set(OWN_IDS)


@as_root
def test_the_servers_uid_is_nobody_elses(data_dir: Path) -> None:
    """Services that run as `nobody` cannot read the data: its uid has no name, and owns it all."""
    account = server_account()
    with pytest.raises(KeyError):
        pwd.getpwuid(account.uid)
    with Servers(data_dir, fast=True) as pair:
        assert answers(pair)
        assert owners_in(data_dir / "postgres") == owners_in(data_dir / "valkey") == {account.uid}
        assert (data_dir / "postgres").stat().st_mode & 0o077 == 0


def owners_in(folder: Path) -> set[int]:
    found = {folder.lstat().st_uid}
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):  # a running server removes files
            found.add(path.lstat().st_uid)
    return found


@pytest.fixture
def of_nobody(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Servers]:
    """Servers as they were before they had a uid of their own: nobody's, with a row and a key."""
    entry = pwd.getpwnam("nobody")
    former = Account(entry.pw_uid, entry.pw_gid, switch=True)
    with monkeypatch.context() as patched:
        patched.setattr("sync.embedded.server_account", lambda: former)
        pair = Servers(data_dir, fast=True)
        with pair.postgres.connect() as connection:
            connection.execute("CREATE TABLE kept AS SELECT 1 AS one")
        pair.valkey.connect().set("kept", "1")
    yield pair
    pair.release()


def holds_what_was_kept(pair: Servers) -> bool:
    with pair.postgres.connect() as connection, pair.valkey.connect() as client:
        found = connection.execute("SELECT one FROM kept").fetchone()
        return (found, client.get("kept")) == ((1,), b"1")


@as_root
def test_a_folder_of_nobody_goes_on_and_is_nobodys_no_more(
    of_nobody: Servers, data_dir: Path
) -> None:
    """Only once its servers have stopped: until then they are adopted as they are."""
    with Servers(data_dir, fast=True) as heir:
        assert heir.postgres.pid == of_nobody.postgres.pid
        assert holds_what_was_kept(heir)
        of_nobody.release()
        assert holds_what_was_kept(heir)
    link, target = data_dir / "valkey" / "link", data_dir.with_name("target")
    target.touch()
    link.symlink_to(target)
    os.lchown(link, pwd.getpwnam("nobody").pw_uid, 0)
    with Servers(data_dir, fast=True) as heir:
        assert holds_what_was_kept(heir)
        uid = server_account().uid
        assert owners_in(data_dir / "postgres") == owners_in(data_dir / "valkey") == {uid}
        assert target.stat().st_uid == 0
    target.unlink()


@as_root
def test_a_hard_link_in_a_folder_of_nobody_gives_nothing_of_roots_away(
    of_nobody: Servers, data_dir: Path
) -> None:
    of_nobody.release()
    treasure = data_dir.with_name("treasure")
    treasure.touch(mode=0o600)
    link = data_dir / "postgres" / "base" / "link"
    os.link(treasure, link)
    with (
        Servers(data_dir, fast=True) as heir,
        pytest.raises(NeedsOperator, match="belongs to another user"),
    ):
        answers(heir)
    assert treasure.stat().st_uid == 0
    link.unlink()
    treasure.unlink()
    with Servers(data_dir, fast=True) as heir:
        assert holds_what_was_kept(heir)


@as_root
def test_a_folder_the_servers_cannot_enter_moves_their_data(data_dir: Path) -> None:
    """A project below /root works: the data goes where the servers' user can go, and is found."""
    closed = data_dir / "closed"
    closed.mkdir(parents=True)
    closed.chmod(0o700)
    with Servers(closed / "data", fast=True) as pair:
        pair.valkey.connect().set("kept", "1")
        folder = Path(json.loads((closed / "data" / "embedded.json").read_text())["folder"])
        assert folder == pair.postgres.folder
        assert folder.parent == Path("/var/tmp")  # noqa: S108
    with Servers(closed / "data", fast=True) as pair:
        assert pair.valkey.connect().get("kept") == b"1"
    remove(closed / "data")
    assert not folder.exists()


def test_a_restart_keeps_ports_and_data(data_dir: Path) -> None:
    """A URL somebody noted down still works tomorrow."""
    with Servers(data_dir, fast=True) as pair:
        first = (pair.database_url, pair.redis_url)
        with pair.postgres.connect() as connection:
            connection.execute("CREATE TABLE kept AS SELECT 1 AS one")
        pair.valkey.connect().set("kept", "1")
        pids = (pair.postgres.pid or 0, pair.valkey.pid or 0)
    assert lives(data_dir, *pids) == [False, False]
    with Servers(data_dir, fast=True) as pair:
        assert (pair.database_url, pair.redis_url) == first
        with pair.postgres.connect() as connection:
            assert connection.execute("SELECT one FROM kept").fetchone() == (1,)
        assert pair.valkey.connect().get("kept") == b"1"


def test_a_moved_project_takes_its_data_along(data_dir: Path) -> None:
    with Servers(data_dir, fast=True) as pair:
        pair.valkey.connect().set("kept", "1")
    moved = data_dir.rename(data_dir.with_name("moved"))
    with Servers(moved, fast=True) as pair:
        assert pair.valkey.connect().get("kept") == b"1"
    moved.rename(data_dir)


def test_a_link_to_the_folder_is_the_same_folder(data_dir: Path) -> None:
    link = data_dir.with_name("link")
    link.symlink_to(data_dir)
    with Servers(data_dir, fast=True) as one, Servers(link, fast=True) as other:
        assert one.redis_url == other.redis_url
        assert one.valkey.pid == other.valkey.pid
    link.unlink()


def test_a_port_taken_meanwhile_is_exchanged(data_dir: Path) -> None:
    with Servers(data_dir, fast=True) as pair:
        ports = (pair.postgres.port, pair.valkey.port)
    with socket.socket() as one, socket.socket() as other:
        for taken, port in zip((one, other), ports, strict=True):
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            taken.bind(("127.0.0.1", port or 0))
            taken.listen()
        with Servers(data_dir, fast=True) as pair:
            assert answers(pair)
            assert not {pair.postgres.port, pair.valkey.port} & set(ports)


def test_the_last_one_out_stops_the_servers(data_dir: Path) -> None:
    """Worker, beat and a command share one pair: who leaves earlier disturbs nobody."""
    with holder(data_dir) as (first, *pids), holder(data_dir) as (second, *same):
        assert pids == same
        leave(first)
        assert lives(data_dir, *pids) == [True, True]
        leave(second)
        assert lives(data_dir, *pids) == [False, False]


def test_two_starters_at_once_start_one_pair(data_dir: Path) -> None:
    with python(HOLD, data_dir) as one, python(HOLD, data_dir) as other:
        assert pids_of(one) == pids_of(other)
        leave(one)
        leave(other)


def test_a_killed_owners_servers_are_adopted(data_dir: Path) -> None:
    """kill -9 runs no clean-up: the next process takes over what it finds, and stops it."""
    with holder(data_dir) as (owner, *pids):
        owner.kill()
        owner.wait()
        assert lives(data_dir, *pids) == [True, True]
        with Servers(data_dir, fast=True) as heir:
            assert [heir.postgres.pid, heir.valkey.pid] == pids
            assert answers(heir)
        assert lives(data_dir, *pids) == [False, False]


def test_a_starter_killed_while_it_makes_the_cluster_leaves_no_half_one(data_dir: Path) -> None:
    """initdb works aside: the next process finds nothing, or something whole."""
    with python(HOLD, data_dir) as starter:
        wait_until(
            lambda: bool(list(data_dir.glob("initdb-*/data"))), seconds=30, what="initdb runs"
        )
        starter.kill()
    assert not (data_dir / "postgres").exists()
    with Servers(data_dir, fast=True) as heir:
        assert answers(heir)
    assert not list(data_dir.glob("initdb-*"))


def test_ctrl_c_in_the_starters_terminal_reaches_no_server(data_dir: Path) -> None:
    """The terminal signals the whole group: with a second user the servers must stay."""
    with holder(data_dir) as (starter, *pids), Servers(data_dir, fast=True) as second:
        assert second.postgres.pid == pids[0]
        assert second.valkey.pid == pids[1]
        os.killpg(starter.pid, signal.SIGINT)
        assert starter.wait(timeout=60)
        assert answers(second)
        assert lives(data_dir, *pids) == [True, True]


def test_the_servers_do_not_hold_the_starters_output_open(data_dir: Path) -> None:
    """`celery … | tee log` ends when celery does, even where the servers live on."""
    with Servers(data_dir, fast=True) as other, holder(data_dir) as (starter, *pids):
        assert other.valkey.pid == pids[1]
        leave(starter)  # reads its output to the end
        assert lives(data_dir, *pids) == [True, True]


def test_a_forked_child_has_a_hold_of_its_own(data_dir: Path) -> None:
    """A prefork worker's children ask for themselves, so a parent that ends first takes nothing."""
    code = HOLD.replace("sys.stdin.read()", "") + (
        "import os\n"
        "told, tell = os.pipe()\n"  # the standard input is the child's alone
        "if os.fork() == 0:\n"
        "    servers(sys.argv[1]).database_url\n"
        "    os.write(tell, b'held')\n"
        "    sys.stdin.read()\n"  # the end of input
        "else:\n"
        "    os.close(tell)\n"
        "    os.read(told, 4)\n"
    )
    with python(code, data_dir) as parent:
        pids = pids_of(parent)
        assert parent.stdin is not None
        assert parent.wait(timeout=60) == 0
        assert lives(data_dir, *pids) == [True, True]
        parent.stdin.close()
        wait_until(lambda: lives(data_dir, *pids) == [False, False], seconds=60, what="both stop")


@pytest.mark.parametrize("how", list(Shutdown))
def test_postgres_comes_back_on_the_same_port(data_dir: Path, how: Shutdown) -> None:
    """Also after what a power cut would do: committed rows are there."""
    with Servers(data_dir) as pair:
        port = pair.postgres.port
        with pair.postgres.connect() as connection:
            connection.execute("CREATE TABLE kept AS SELECT 1 AS one")
        pair.postgres.restart(how)
        assert pair.postgres.port == port
        with pair.postgres.connect() as connection:
            assert connection.execute("SELECT one FROM kept").fetchone() == (1,)


def test_a_pid_that_is_somebody_elses_now_is_no_server(data_dir: Path) -> None:
    """After a reboot the pid in a lock file may be any process of the same user."""
    with Servers(data_dir, fast=True) as pair:
        assert answers(pair)
        lock_file = pair.postgres.data / "postmaster.pid"
        left = lock_file.read_text().split("\n")
        port = pair.postgres.port
        pair.postgres.stop(Shutdown.IMMEDIATE)
    stranger = subprocess.Popen(["sleep", "600"], **server_account().popen())
    try:
        lock_file.write_text("\n".join([str(stranger.pid), *left[1:]]))
        (data_dir / "valkey" / "valkey.pid").write_text(f"{stranger.pid}\n")
        with Servers(data_dir, fast=True) as pair:
            assert pair.postgres.pid not in {None, stranger.pid}
            assert pair.valkey.pid not in {None, stranger.pid}
            assert pair.postgres.port == port
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_killed_postmaster_is_started_again_by_the_next_process(data_dir: Path) -> None:
    with holder(data_dir) as (_, postgres, valkey):
        os.kill(postgres, signal.SIGKILL)
        os.kill(valkey, signal.SIGKILL)
        wait_until(
            lambda: lives(data_dir, postgres, valkey) == [False, False], seconds=30, what="both die"
        )
        with Servers(data_dir, fast=True) as next_one:
            assert next_one.postgres.pid != postgres
            assert answers(next_one)


def test_a_paused_server_hangs_and_then_goes_on(own_servers: Servers) -> None:
    """What a test of timeouts needs: no error, no answer."""
    with own_servers.postgres.connect() as connection:
        own_servers.postgres.pause()
        own_servers.valkey.pause()
        client = redis.Redis.from_url(own_servers.redis_url, socket_timeout=0.2)
        with client, pytest.raises(redis.TimeoutError):
            client.get("x")
        own_servers.valkey.resume()
        own_servers.postgres.resume()
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_paused_server_can_be_stopped() -> None:
    with private() as pair:
        pids = (pair.postgres.pid or 0, pair.valkey.pid or 0)
        pair.postgres.pause()
        pair.valkey.pause()
        folder = pair.data_dir
    assert lives(folder, *pids) == [False, False]
    assert not folder.exists()


def test_a_folder_removed_by_hand_leaves_no_server(data_dir: Path) -> None:
    """`rm -rf .data` beside a running service: its servers end with it at the latest."""
    with Servers(data_dir, fast=True) as pair:
        pids = (pair.postgres.pid or 0, pair.valkey.pid or 0)
        shutil.rmtree(data_dir.rename(data_dir.with_name("moved")), ignore_errors=True)
    assert lives(data_dir, *pids) == [False, False]
    shutil.rmtree(data_dir.with_name("moved"), ignore_errors=True)


def test_remove_spares_servers_in_use(data_dir: Path) -> None:
    with Servers(data_dir, fast=True) as pair:
        assert pair.redis_url
        with pytest.raises(NeedsOperator, match="uses the servers"):
            remove(data_dir)
        assert pair.valkey.connect().ping()


def test_every_test_gets_an_empty_database_and_redis(empty_database: str, redis_url: str) -> None:
    engine = sa.create_engine(empty_database)
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE mine (id bigint)"))
    engine.dispose()
    with redis.Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0
        client.set("mine", "1")


test_and_the_next_one_sees_nothing_of_it = test_every_test_gets_an_empty_database_and_redis
