"""Command web: serve the status page, metrics and health checks."""

from __future__ import annotations

import click

from sync.commands.services import at_head
from sync.commands.shell import NotReady, examples
from sync.errors import BadRequest


@click.command(epilog=examples("web", "web --host 0.0.0.0 --port 8080"))
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at.")
@click.option("--port", type=click.IntRange(0, 65_535), default=8080, show_default=True)
def web(host: str, port: int) -> None:
    """Serve the status page, /metrics, /healthz and /readyz until Ctrl-C.

    Buttons need SYNC_WEB_TOKEN, which is also the token to log in with. Without it the page is
    read-only and listens on this machine's own addresses only.

    To show the page to others, put an https proxy in front and name it in SYNC_WEB_PROXIES: over
    plain http the token and the session can be read on the way.
    """
    found = at_head()
    try:
        import uvicorn

        from sync.web.app import create_app
        from sync.web.security import is_loopback
    except ImportError as error:
        raise NotReady(
            f"The status page is not installed ({error.name} is missing). "
            "From the checkout: pip install -c ops/constraints.txt -e '.[web]'"
        ) from error
    if found.settings.web_token is None and not is_loopback(host):
        raise BadRequest(
            f"SYNC_WEB_TOKEN is not set, so the page is shown to this machine only, not at {host}. "
            "Set it to 20 characters or more that nobody can guess."
        )
    shown = f"[{host}]" if ":" in host else host
    click.echo(f"The status page is at http://{shown}:{port} (Ctrl-C stops it).")
    uvicorn.run(
        create_app(found),
        host=host,
        port=port,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=5,
    )
