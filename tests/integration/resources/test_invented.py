"""A new resource is one declaration and one generated migration."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from sync.database import migrate
from sync.declare import (
    CODE,
    DATETIME,
    ID,
    MONEY,
    TEXT,
    Child,
    Field,
    FullRefresh,
    PageNumbers,
    Resource,
)
from sync.schema import everything
from sync.schema.crm import crm_tables
from tests.integration.resources.conftest import Open
from tests.integration.resources.fake import Fake

COUPONS = Resource(
    name="coupons",
    singular="coupon",
    path="/api/v5/coupons",
    answer_key="coupons",
    listing=PageNumbers(),
    changes=FullRefresh(every_seconds=3600),
    page_size=20,
    note="Coupons: invented for this test",
    fields=(
        Field("id", ID, "id", "RetailCRM's id"),
        Field("value", MONEY, "value", "what it is worth"),
        Field("created_at", DATETIME, "createdAt", "when it was made"),
        Field("owner_name", TEXT, "owner.name", "whose it is"),
    ),
    children=(
        Child(
            name="coupon_sites",
            path="sites",
            note="Sites a coupon is good for",
            fields=(Field("site", CODE, "", "site code"),),
        ),
    ),
    raw_only=(("owner", "a copy of the owner"),),
)


@pytest.fixture
def migrated(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The database after the migration that alembic wrote for the declaration."""
    metadata = sa.MetaData()
    for table in everything.METADATA.tables.values():
        table.to_metadata(metadata)
    crm_tables({"coupons": COUPONS}, metadata)
    monkeypatch.setattr(everything, "METADATA", metadata)
    real = Path(migrate._config().get_main_option("script_location") or "")
    shutil.copytree(real, tmp_path / "migrations", ignore=shutil.ignore_patterns("__pycache__"))

    def config(connection: sa.Connection | None = None) -> Config:
        made = Config(toml_file=str(real.parent / "pyproject.toml"))
        made.set_main_option("script_location", str(tmp_path / "migrations"))
        made.attributes["connection"] = connection
        return made

    engine = sa.create_engine(database, poolclass=sa.NullPool)
    with engine.connect() as connection:
        command.revision(config(connection), message="coupons", autogenerate=True, rev_id="9999")
    with engine.connect() as connection:
        command.upgrade(config(connection), "head")
    with engine.connect() as connection:
        command.check(config(connection))
    yield tmp_path / "migrations" / "versions" / "9999_coupons.py"
    engine.dispose()


def test_an_invented_resource_is_mirrored(migrated: Path, open_mirror: Open) -> None:
    """From the declaration follow the table, its comments, the requests, rows and refreshes."""
    written = migrated.read_text(encoding="utf-8")
    assert written.count("op.create_table(") == 2
    assert "drop_table" in written
    mirror = open_mirror(resources={"coupons": COUPONS}, orders=0, customers=0)
    fake = Fake(mirror)
    coupons = fake.serve(
        COUPONS.path,
        "coupons",
        [
            {"id": each, "value": f"{each}.50", "createdAt": "2024-01-01 12:00:00",
             "owner": {"name": "Anna"}, "sites": ["main", "second"], "extra": each}
            for each in range(1, 26)
        ],
    )  # fmt: skip
    mirror.settle()
    assert mirror.rows(
        "SELECT id, value, created_at AT TIME ZONE 'UTC' AS at, owner_name FROM crm.coupons"
        " WHERE id = 7"
    )[0][1:2] == (pytest.approx(7.5),)
    assert mirror.value("SELECT count(*) FROM crm.coupons WHERE owner_name = 'Anna'") == 25
    assert mirror.rows("SELECT ordinal, site FROM crm.coupon_sites WHERE coupon_id = 3") == [
        (1, "main"),
        (2, "second"),
    ]
    assert mirror.rows("SELECT path FROM sync.unknown_field") == [("extra",)]
    assert mirror.coverage("coupons").state == "fresh"
    comment = "SELECT col_description('crm.coupons'::regclass, 3)"
    assert mirror.value(comment) == "what it is worth [value]"
    coupons.pop(2)
    coupons[0]["value"] = 99
    mirror.pass_time(3_600)
    mirror.work("coupons", "walk")
    assert mirror.tombstones("coupons") == {3: "absent"}
    assert mirror.value("SELECT value FROM crm.coupons WHERE id = 1") == 99
    assert mirror.rows("SELECT 1 FROM crm.coupon_sites WHERE coupon_id = 3") == []
