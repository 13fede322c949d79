"""A pgbouncer before a Postgres of the tests.

With SYNC_TEST_POOLER=transaction (or session) the workers of the fault suite connect through one.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import sqlalchemy as sa

from sync.embedded import Servers
from sync.embedded.account import server_account
from sync.embedded.postgres import USER
from sync.embedded.process import free_port, wait_until

PROGRAM = shutil.which("pgbouncer") or shutil.which("/usr/sbin/pgbouncer")
MODE = os.environ.get("SYNC_TEST_POOLER", "")


@contextlib.contextmanager
def pooler(servers: Servers, *, mode: str, size: int = 20) -> Iterator[int]:
    """Run a pgbouncer before a Postgres; its port. `size` is its connections to a database."""
    assert PROGRAM is not None, "pgbouncer is not installed"
    account, port = server_account(), free_port(None)
    folder = Path(tempfile.mkdtemp(prefix="pgbouncer-"))
    account.own(folder)
    users, config = folder / "users", folder / "pgbouncer.ini"
    users.write_text(f'"{USER}" "{servers.postgres.password}"\n')
    config.write_text(
        f"[databases]\n* = host=127.0.0.1 port={servers.postgres.port}\n[pgbouncer]\n"
        f"listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
        f"auth_type = scram-sha-256\nauth_file = {users}\nlogfile = {folder}/log\n"
        f"pool_mode = {mode}\ndefault_pool_size = {size}\nmax_client_conn = 500\n"
    )
    for file in (users, config):
        account.own(file)
    process = subprocess.Popen(
        [PROGRAM, "--quiet", config], stdout=subprocess.DEVNULL, cwd="/", **account.popen()
    )
    try:
        url = sa.make_url(servers.database_url).set(port=port, drivername="postgresql")
        plain = url.render_as_string(hide_password=False)

        def serves() -> bool:
            try:
                psycopg.connect(plain, connect_timeout=3).close()
            except psycopg.OperationalError as error:
                assert process.poll() is None, (folder / "log").read_text()
                return "pooling" in str(error)
            return True

        wait_until(serves, seconds=30, what="pgbouncer serves")
        yield port
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def through(url: str, port: int | None) -> str:
    """The same database by another port; the URL itself without one."""
    if port is None:
        return url
    return sa.make_url(url).set(port=port).render_as_string(hide_password=False)
