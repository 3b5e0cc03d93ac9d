"""Members from a file through order-ingest and points-accrual: once, again, changed, and with bad rows."""

import asyncio
import csv
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

import order_ingest
from contracts.members import MemberChangedV1
from laurel.importing import Importer, Report, gather, read, write_rejected
from laurel.installation import Failure
from order_ingest import deliveries
from order_ingest import store as edge_store
from order_ingest.app import build, fingerprint_salt
from shared.testing import Harness, harness
from tests.conftest import PostgresServer
from tests.integration.points_accrual.conftest import NOW, service
from tests.unit.points_accrual.samples import book, program, published

pytestmark = pytest.mark.integration
SAMPLE = Path(__file__).parents[3] / "docs" / "samples" / "import.csv"
DOCUMENT = program(rest={"challenges": [{"id": "second", "counts": "orders", "every": 2, "points": 50}]})


@dataclass
class Shop:
    importer: Importer
    points: Harness

    async def bring(self, path: Path) -> Report:
        people, bad = gather(read(path), NOW)
        report = await self.importer.bring_all(people, lambda _: None)
        report.bad = [*bad, *report.bad]
        return report

    async def decisions(self) -> int:
        async with self.points.context.pool.acquire() as connection:
            return int(await connection.fetchval("SELECT count(*) FROM decisions WHERE kind = 'import'"))


@pytest.fixture
async def shop(postgres: PostgresServer) -> AsyncIterator[Shop]:
    edge_dsn, points_dsn = postgres.create("import_edge"), postgres.create("import_points")
    migrations = Path(order_ingest.__path__[0]) / "migrations"
    at_edge = harness(
        build, edge_dsn, migrations, name="order-ingest", now=NOW, reference=[published(DOCUMENT)],
    )  # fmt: skip
    async with at_edge as edge, service(points_dsn, DOCUMENT) as points:
        await edge.context.execute(lambda tx: edge_store.create_source(tx.connection, "aurora", "shop", now=NOW))
        programs, salt = book(DOCUMENT), fingerprint_salt(edge.context.settings.keys_dir)

        handing_over = asyncio.Lock()

        async def pause() -> None:
            # One at a time: who comes second must not ask again before what the first took has arrived.
            async with handing_over:
                while await deliveries.read_some(edge.context, programs, salt):
                    pass
                events = [event for _, event in await edge.outbox() if isinstance(event, MemberChangedV1)]
                if events:
                    await points.deliver(*events)

        edge.client.headers.update(edge.token("admin"))
        points.client.headers.update(points.token("admin"))
        yield Shop(Importer(edge.client, points.client, "shop", "old", datetime(2026, 3, 1, tzinfo=UTC), pause), points)
    postgres.drop(edge_dsn)
    postgres.drop(points_dsn)


async def test_the_sample_is_brought_in_once(shop: Shop) -> None:
    report = await shop.bring(SAMPLE)
    assert report.bad == []
    assert report.brought == 3
    assert report.in_file == {"2027-03-31": 1200, "never": 300, "2027-01-31": 80, "2027-06-30": 50}
    assert report.in_ledger == report.in_file
    assert await shop.decisions() == 3
    again = await shop.bring(SAMPLE)
    assert (again.bad, again.in_ledger) == ([], report.in_ledger)
    assert await shop.decisions() == 3


async def test_points_go_to_nobody_who_merely_typed_the_address(shop: Shop, tmp_path: Path) -> None:
    path, edge = tmp_path / "m.csv", shop.importer.edge
    path.write_text("email,points\nleyla@example.com,500\n")
    typed = {"customer_id": "c-9", "email": "leyla@example.com", "account": True}
    told = {"source": "shop", "customer": typed, "updated_at": NOW.isoformat()}
    assert (await edge.post("/v1/members", json=told)).is_success
    await shop.importer.pause()
    stranger = (await edge.get("/v1/members", params={"source": "shop", "customer_id": "c-9"})).json()["member_id"]
    for _ in range(2):
        assert (await shop.bring(path)).in_ledger == {"never": 500}
        balances = (await shop.importer.points.get(f"/v1/members/{stranger}/points")).json()["balances"]
        assert (balances["active"], balances["pending"]) == (0, 0)
    assert await shop.decisions() == 1


async def test_other_rows_under_the_same_name_are_refused(shop: Shop, tmp_path: Path) -> None:
    await shop.bring(SAMPLE)
    changed = tmp_path / "m.csv"
    changed.write_text(SAMPLE.read_text().replace(",80,", ",81,"))
    report = await shop.bring(changed)
    [fault] = report.bad
    assert fault.line.number == 4
    assert "brought this member in before with other rows" in fault.why
    assert await shop.decisions() == 3


async def test_what_the_service_refuses_is_kept_for_mending(shop: Shop, tmp_path: Path) -> None:
    source = tmp_path / "m.jsonl"
    source.write_text(
        '{"customer_id": "a", "points": 5, "expires_at": "2020-01-01T00:00:00Z"}\n'
        '{"customer_id": "b", "points": 7, "tier_points": 3}\n'
        '{"customer_id": "c", "points": -1}\n{"customer_id": "c", "points": 9}\n'
    )
    report = await shop.bring(source)
    assert report.brought == 1
    assert sorted(str(fault).split(":")[0] for fault in report.bad) == ["line 1", "line 3, column points", "line 4"]
    mended = write_rejected(source, report.bad)
    text = mended.read_text().replace("2020", "2030").replace("-1", "4")
    mended.write_text(text)
    again = await shop.bring(mended)
    assert (again.brought, again.bad) == (2, [])
    assert again.in_ledger == {"2030-01-01": 5, "never": 13}


def test_bad_cells_are_named_by_line_and_column(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text("customer_id,points,expires_at\na,many,\nb,5,soon\n,5,\nd,5,\n")
    people, bad = gather(read(path), NOW)
    assert [(fault.line.number, fault.column) for fault in bad] == [(2, "points"), (3, "expires_at"), (4, "")]
    assert [person.customer for person in people] == [{"customer_id": "d"}]
    with write_rejected(path, bad).open() as file:
        rows = list(csv.DictReader(file))
    assert [row["customer_id"] for row in rows] == ["a", "b", ""]
    assert all(row["problem"] for row in rows)


def test_points_that_are_earned_in_the_future_are_a_bad_cell(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text("customer_id,points,earned_at\na,5,2030-01-01T00:00:00Z\na,7,\nb,5,2026-03-01T00:00:00Z\n")
    people, bad = gather(read(path), NOW)
    assert [(fault.line.number, fault.column) for fault in bad] == [(2, "earned_at"), (3, "")]
    assert [person.customer for person in people] == [{"customer_id": "b"}]


def test_odd_digits_are_a_bad_cell(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text(f"customer_id,points\na,²\nb,{'9' * 5000}\nc, 7 \n")
    people, bad = gather(read(path), NOW)
    assert [(fault.line.number, fault.column) for fault in bad] == [(2, "points"), (3, "points")]
    assert [person.rows[0].points for person in people] == [7]


def test_a_file_that_is_none_is_told(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    path.write_text("{nothing")
    with pytest.raises(Failure, match="one JSON object a line"):
        list(read(path))
