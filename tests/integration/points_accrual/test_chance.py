"""Seeds and draws on PostgreSQL and over HTTP."""

import contextlib
import hashlib
import io
import re
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
import pytest

from contracts.base import Event
from contracts.members import MemberChangedV1
from contracts.points import PointsGrantedV1
from contracts.program import Program
from contracts.rewards import DrawHeldV1
from points_accrual.domain.challenges import surprise
from points_accrual.domain.drawing import commitment, surprise_fault
from points_accrual.domain.rulebook import rulebook
from shared.testing import Harness
from tests.integration.points_accrual.conftest import NOW, service
from tests.integration.points_accrual.test_books import ask, post
from tests.unit.points_accrual.samples import ANN, BOB, DAY, T0, enrolled, order, program, published

pytestmark = pytest.mark.integration

SEED = bytes(range(32))


def know(ledger: Harness, *documents: Program) -> None:
    assert ledger.service.reference is not None
    for document in documents:
        ledger.service.reference.apply(published(document))


async def get(ledger: Harness, path: str) -> Any:
    return await ledger.client.get(f"/v1/{path}", headers=ledger.token("store"))


def luck(committed: str, version: int = 2) -> Program:
    rest = {"id": "luck", "counts": "orders", "surprise_in": 3, "commitment": committed, "points": 7}
    return program(version=version, effective_from=T0 - DAY, rest={"challenges": [rest]})


def bike(committed: str, version: int = 2, draw: str = "bike", closes_at: datetime = NOW + DAY) -> Program:
    item = {"id": draw, "name": {"en": "Bike"}, "closes_at": closes_at, "winners": 2, "commitment": committed}
    ticket = {"type": "draw_entry", "id": "ticket", "name": {"en": "Ticket"}, "cost": 10, "draw": draw}
    draws = [item] if draw == "bike" else [item, item | {"id": "bike", "commitment": "0" * 64, "winners": 9}]
    return program(version=version, effective_from=T0 - DAY, rest={"draws": draws, "rewards": [ticket]})


async def points(ledger: Harness, *members: UUID) -> None:
    for member_id in members:
        mine = order(order_id=str(member_id), member_id=member_id, placed_at=T0)
        await ledger.deliver(enrolled(member_id=member_id), mine)
    await ledger.sweep()


async def buy(ledger: Harness, member_id: UUID, key: str) -> str:
    answer = await post(ledger, f"members/{member_id}/redemptions", {"reward_id": "ticket"}, key)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["coupon_id"])


async def hold(ledger: Harness) -> Any:
    ledger.clock.at = NOW + DAY + timedelta(seconds=1)
    return (await post(ledger, "draws/bike/hold")).json()


async def entered(ledger: Harness) -> set[str]:
    return {item["coupon_id"] for item in (await ask(ledger, "draws/bike/entries"))["entries"]}


async def test_surprises_come_where_the_seed_says(database: str) -> None:
    """Nine orders by a seed that only the ledger knows; shown afterwards, it tells which were surprised."""
    async with service(database) as ledger:
        committed = (await post(ledger, "seeds")).json()["commitment"]
        know(ledger, luck(committed))
        await ledger.deliver(enrolled())
        for number in range(9):
            await ledger.deliver(order(order_id=str(number), placed_at=T0 + number * DAY))
        given = [
            event.occurred_at for _, event in await ledger.outbox()
            if isinstance(event, PointsGrantedV1) and event.claim_kind == "challenge"
        ]  # fmt: skip
        assert (await get(ledger, f"seeds/{committed}")).json()["seed"] is None
        assert "luck" in (await post(ledger, f"seeds/{committed}/reveal")).json()["detail"]
        know(ledger, program(version=3, effective_from=NOW - DAY))
        assert (await post(ledger, f"seeds/{committed}/reveal")).status_code == 200
        seed = bytes.fromhex((await get(ledger, f"seeds/{committed}")).json()["seed"])
        assert hashlib.sha256(seed).hexdigest() == committed
        wanted = [block * 3 + surprise(seed, "luck", ANN, block, 3) for block in range(3)]
        assert [(at - T0).days + 1 for at in given] == wanted
        page = (await get(ledger, "seeds/surprises/luck")).json()["items"]
        assert [(item["member_id"], len(item["counted"]), len(item["rewarded"])) for item in page] == [(str(ANN), 9, 3)]
        assert (await get(ledger, f"seeds/surprises/luck?after={ANN}")).json()["items"] == []
        counted = [(datetime.fromisoformat(at), *rest, tuple(what)) for at, *rest, what in page[0]["counted"]]
        of = {2: rulebook(luck(committed)), 3: rulebook(program(version=3))}
        check = partial(surprise_fault, "luck", committed, counted, member_id=ANN, book_of=of.__getitem__)
        rewarded = [version for _, version in page[0]["rewarded"]]
        assert check(rewarded, seed_of={committed: seed}.get) is None
        assert "3 surprises follow from the seed, 2 were given" in str(
            check(rewarded[1:], seed_of={committed: seed}.get)
        )


async def test_a_seed_is_there_before_its_challenge(database: str) -> None:
    """Else orders would be judged first without and then with it, and a rebuild would differ."""
    async with service(database) as ledger:
        made = await post(ledger, "seeds", {"seed": SEED.hex()})
        assert made.json()["commitment"] == commitment(SEED)
        assert (await post(ledger, "seeds", {"seed": SEED.hex()})).json() == made.json()
        other = SEED[::-1]
        know(ledger, luck(commitment(other)))
        assert (await post(ledger, "seeds", {"seed": other.hex()})).json()["title"] == "Too late"
        assert (await post(ledger, "seeds", {"seed": "00"})).status_code == 422
        assert (await post(ledger, f"seeds/{commitment(SEED)}/reveal")).status_code == 200
        assert (await post(ledger, "seeds", {"seed": SEED.hex()})).json()["title"] == "Not secret"
        assert (await get(ledger, f"seeds/{'0' * 64}")).status_code == 404
        member = ledger.token("member", member_id=ANN)
        assert (await ledger.client.get(f"/v1/seeds/{commitment(SEED)}", headers=member)).json()["seed"] == SEED.hex()
        foreign = ledger.token("admin", program_id="another")
        assert (await ledger.client.get(f"/v1/seeds/{commitment(SEED)}", headers=foreign)).status_code == 404


async def test_a_draw_is_held_once_and_can_be_checked(database: str) -> None:
    """By the script of docs/draws.md too, which knows nothing of Laurel."""
    async with service(database) as ledger:
        committed = (await post(ledger, "seeds")).json()["commitment"]
        know(ledger, bike(committed))
        await points(ledger, ANN, BOB)
        bought = [await buy(ledger, BOB if number else ANN, str(number)) for number in range(5)]
        gone = bought.pop()
        assert (await post(ledger, f"members/{BOB}/redemptions/{gone}/reversal", {}, "back")).status_code == 200
        assert (await post(ledger, "draws/bike/hold")).json()["title"] == "Still open"
        assert (await post(ledger, f"seeds/{committed}/reveal")).json()["title"] == "Still in use"
        await ledger.outbox()
        held = await hold(ledger)
        assert (held["entries"], held["prizes"], held["program_version"]) == (4, 2, 2)
        assert {item["member_id"] for item in held["winners"]} == {str(ANN), str(BOB)}
        assert await hold(ledger) == held
        assert [type(event) for _, event in await ledger.outbox()] == [DrawHeldV1]
        assert await ask(ledger, "draws/bike") == held
        assert await ask(ledger, "draws/bike/verification") == {"ok": True, "faults": []}
        assert await entered(ledger) == set(bought)
        assert (await get(ledger, f"seeds/{committed}")).json()["seed"] == held["seed"]
        entries = await ask(ledger, "draws/bike/entries")
        assert told_by_script(held, entries, committed) == "the draw holds\n"
        entries["entries"][0]["member_id"], entries["entries"][1]["member_id"] = str(UUID(int=1)), str(UUID(int=2))
        with pytest.raises(AssertionError):
            told_by_script(held, entries, committed)


def told_by_script(held: Any, entries: Any, committed: str) -> str:
    """What the script of docs/draws.md prints."""
    page = (Path(__file__).parents[3] / "docs" / "draws.md").read_text()
    found = re.search(r"```python\n(.*?)```", page, re.DOTALL)
    assert found is not None
    files = {"draw.json": held, "entries.json": entries}
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(
            found[1],
            {"COMMITTED": committed, "PRIZES": 2, "open": lambda name: io.BytesIO(orjson.dumps(files[name]))},
        )
    return printed.getvalue()


async def test_what_is_published_after_the_end_changes_no_draw(database: str) -> None:
    """And tickets bought under version 2 stay in its draw, though the same reward is for another one later."""
    async with service(database) as ledger:
        committed = (await post(ledger, "seeds")).json()["commitment"]
        other = (await post(ledger, "seeds")).json()["commitment"]
        know(ledger, bike(committed))
        await points(ledger, ANN, BOB)
        first = {await buy(ledger, ANN, "1"), await buy(ledger, BOB, "2")}
        late = published(bike(other, version=3, draw="boat")).model_copy(update={"published_at": NOW + 2 * DAY})
        assert ledger.service.reference is not None
        ledger.service.reference.apply(late)
        await buy(ledger, BOB, "3")
        held = await hold(ledger)
        assert (held["commitment"], held["program_version"], held["prizes"]) == (committed, 2, 2)
        assert await entered(ledger) == first


async def test_the_closing_that_was_announced_before_it_passed_holds(database: str) -> None:
    """A later version cannot open the draw again: its seed could be chosen by who knows the entries."""
    async with service(database) as ledger:
        committed = (await post(ledger, "seeds")).json()["commitment"]
        other = (await post(ledger, "seeds")).json()["commitment"]
        know(ledger, bike(committed))
        await points(ledger, ANN, BOB)
        first = await buy(ledger, ANN, "1")
        ledger.clock.at = NOW + 2 * DAY
        again = published(bike(other, version=3, closes_at=NOW + 9 * DAY))
        assert ledger.service.reference is not None
        ledger.service.reference.apply(again.model_copy(update={"published_at": NOW + 2 * DAY}))
        late = await post(ledger, f"members/{BOB}/redemptions", {"reward_id": "ticket"}, "2")
        assert (late.status_code, late.json()["type"]) == (409, "urn:laurel:draw_closed"), late.text
        held = (await post(ledger, "draws/bike/hold")).json()
        assert (held["commitment"], held["program_version"], await entered(ledger)) == (committed, 2, {first})


async def test_a_ticket_that_is_held_when_the_draw_closes_is_not_paid_for(database: str) -> None:
    async with service(database) as ledger:
        know(ledger, bike("ab" * 32, closes_at=NOW + timedelta(minutes=1)))
        await points(ledger, ANN)
        path = f"members/{ANN}/redemptions"
        held = (await post(ledger, path, {"reward_id": "ticket", "hold": True}, "1")).json()
        ledger.clock.at = NOW + timedelta(minutes=1)
        late = await post(ledger, f"{path}/{held['coupon_id']}/capture", {}, "2")
        assert (late.status_code, late.json()["type"]) == (409, "urn:laurel:draw_closed"), late.text
        ledger.clock.at = NOW + DAY
        await ledger.sweep()
        assert (await ask(ledger, f"members/{ANN}/points"))["balances"]["active"] == 100


async def test_a_ticket_whose_points_came_back_with_its_order_is_no_entry(database: str) -> None:
    async with service(database) as ledger:
        committed = (await post(ledger, "seeds")).json()["commitment"]
        know(ledger, bike(committed))
        await points(ledger, ANN)
        paid = order(order_id="with", placed_at=T0)
        await ledger.deliver(paid)
        kept = await buy(ledger, ANN, "1")
        body = {"reward_id": "ticket", "order": "shop:with"}
        assert (await post(ledger, f"members/{ANN}/redemptions", body, "2")).json()["state"] == "used"
        gone = {"revision": 2, "cancelled_at": NOW, "updated_at": NOW, "recorded_at": NOW, "payment": "voided"}
        await ledger.deliver(paid.model_copy(update=gone))
        await hold(ledger)
        assert await entered(ledger) == {kept}


async def test_tickets_of_the_erased_do_not_count_and_of_the_united_count_as_one_members(database: str) -> None:
    cat = UUID("00000000-0000-8000-8000-00000000000c")
    async with service(database) as ledger:
        committed = (await post(ledger, "seeds")).json()["commitment"]
        know(ledger, bike(committed))
        await points(ledger, ANN, BOB, cat)
        kept = {await buy(ledger, ANN, "1"), await buy(ledger, BOB, "2")}
        await buy(ledger, cat, "3")
        await ledger.deliver(enrolled(member_id=cat, version=2, status="erased", recorded=NOW))
        united: Event = MemberChangedV1.model_validate(
            enrolled(member_id=BOB, version=2, recorded=NOW).model_dump() | {"merged_into": ANN}
        )
        await ledger.deliver(united)
        held = await hold(ledger)
        assert await entered(ledger) == kept
        assert [item["member_id"] for item in held["winners"]] == [str(ANN)]


async def test_a_seed_from_outside_comes_when_the_draw_has_closed(database: str) -> None:
    """Nobody here could know it. One that everybody knows before decides nothing."""
    async with service(database) as ledger:
        know(ledger, bike(commitment(SEED)))
        await points(ledger, ANN)
        await buy(ledger, ANN, "1")
        assert (await hold(ledger))["title"] == "Unknown seed"
        assert (await post(ledger, "seeds", {"seed": SEED.hex()})).status_code == 201
        held = await hold(ledger)
        assert (held["seed"], len(held["winners"])) == (SEED.hex(), 1)


async def test_a_seed_that_was_shown_decides_no_draw(database: str) -> None:
    async with service(database) as ledger:
        assert (await post(ledger, "seeds", {"seed": SEED.hex()})).status_code == 201
        assert (await post(ledger, f"seeds/{commitment(SEED)}/reveal")).status_code == 200
        know(ledger, bike(commitment(SEED)))
        assert (await hold(ledger))["title"] == "Seed was shown"
