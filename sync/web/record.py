"""The page of one record, and the way to it by its number."""

from __future__ import annotations

from urllib.parse import quote

import sqlalchemy as sa
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from sync.declare import Resource
from sync.resources import RESOURCES
from sync.state import one_record, stores
from sync.state.stores import Store
from sync.web.state import Refusal, Site


def find(site: Site, request: Request) -> Response:
    """Lead from what a person typed to the record's page; several of that number are listed."""
    name = request.path_params["name"]
    resource = one_record.resource_of(request.query_params.get("resource", ""))
    text = request.query_params.get("key", "").strip()
    if resource is None or not text or resource.key_sql is None:
        raise Refusal(404, "No such record", "Choose a resource, and type its id or number.")
    with site.reading() as connection:
        store = stores.by_name(connection, name)
        _require_rows(connection, store, resource, text)
        found = one_record.keys(connection, store.id, resource, text)
    if len(found) == 1:
        place, key = quote(name, safe=""), quote(str(found[0]), safe="")
        return RedirectResponse(f"/stores/{place}/records/{resource.name}/{key}", status_code=303)
    if not found:
        raise Refusal(404, "No such record", f"{name} has no {resource.singular} called {text!r}.")
    return site.render(
        request, "records.html", store=store, resource=resource, keys=found, text=text, refresh=None
    )


def _require_rows(connection: sa.Connection, store: Store, resource: Resource, text: str) -> None:
    """Raise Refusal where this process logs in by a role that sees no customer's data."""
    if not one_record.may_read(connection, resource.name):
        raise Refusal(
            403,
            "Not on this page",
            "The page logs in to Postgres by a role that sees no rows of an account. Ask by "
            f"command: celery -A sync mirror why {store.name} {resource.singular} {text}",
        )


def a_record(site: Site, request: Request) -> Response:
    """Show all that is kept about one record."""
    name, text = request.path_params["name"], request.path_params["key"]
    resource = RESOURCES.get(request.path_params["resource"])
    if resource is None or resource.key_sql is None:
        raise Refusal(404, "No such record", "There is no such resource.")
    with site.reading() as connection:
        store = stores.by_name(connection, name)
        _require_rows(connection, store, resource, text)
        found = one_record.keys(connection, store.id, resource, text)
        if not found or str(found[0]) != text:
            raise Refusal(404, "No such record", f"{name} has no {resource.singular} {text!r}.")
        told = one_record.look_up(connection, store, resource, found[0])
    return site.render(request, "record.html", store=store, told=told, refresh=10)
