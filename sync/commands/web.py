"""Command web: serve the status page, metrics and health checks."""

from __future__ import annotations

import errno
import socket

import click

from sync.commands.services import at_head
from sync.commands.shell import NotReady, examples, say
from sync.errors import BadRequest


@click.command(epilog=examples("web", "web --host 0.0.0.0 --port 8080"))
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at.")
@click.option("--port", type=click.IntRange(0, 65_535), default=8080, show_default=True)
def web(host: str, port: int) -> None:
    """Serve the status page, /metrics, /healthz and /readyz until Ctrl-C.

    Buttons need a log-in with SYNC_WEB_TOKEN; who logs in with SYNC_WEB_READ_TOKEN only looks.
    Without either the page is read-only and listens on this machine's own addresses only. /metrics
    needs SYNC_WEB_SCRAPE_TOKEN where it is set, and SYNC_WEB_TOKEN otherwise.

    To show the page to others, put an https proxy in front and name it in SYNC_WEB_PROXIES: over
    plain http the token and the session can be read on the way.
    """
    found = at_head()
    try:
        import uvicorn

        from sync.web.app import create_app
        from sync.web.connections import OPTIONS
        from sync.web.security import is_loopback
    except ImportError as error:
        raise NotReady(
            f"The status page is not installed ({error.name} is missing). "
            "From the checkout: pip install -c ops/constraints.txt -e '.[web]'"
        ) from error
    tokens = (found.settings.web_token, found.settings.web_read_token)
    if not any(tokens) and not is_loopback(host):
        raise BadRequest(
            f"SYNC_WEB_TOKEN is not set, so the page is shown to this machine only, not at {host}. "
            "Set it to 20 characters or more that nobody can guess."
        )
    listener = _listen(host, port)  # before anything is announced
    shown = f"[{host}]" if ":" in host else host
    bound = listener.getsockname()[1]
    say(f"The status page is at http://{shown}:{bound} (Ctrl-C stops it).")
    config = uvicorn.Config(create_app(found), log_level="warning", **OPTIONS)
    uvicorn.Server(config).run(sockets=[listener])


def _listen(host: str, port: int) -> socket.socket:
    """Take the port; NotReady with the way out when it cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise NotReady(
                f"Port {port} of {host} is taken by another program; choose another: "
                f"--port {port + 1}"
            ) from error
        raise NotReady(f"Cannot listen at {host}, port {port}: {error.strerror}.") from error
