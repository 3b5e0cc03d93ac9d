"""What one version of the program gave is taken back, and counted, right when another one judges it."""

from datetime import timedelta
from typing import Any

import pytest

from contracts.orders import OrderChangedV1
from contracts.program import Program
from points_accrual.domain.commands import Redeem
from points_accrual.domain.spending import redeem
from tests.unit.points_accrual.samples import ANN, DAY, T0, Ledger, back, enrolled, order, program, spend
from tests.unit.points_accrual.test_replaying import same

MINUTE = timedelta(minutes=1)
BONUS = {"type": "order", "id": "bonus", "points": 50}


def cancelled(order_id: str, placed_at: Any, at: Any) -> OrderChangedV1:
    return order(
        order_id=order_id, placed_at=placed_at, revision=2, cancelled_at=at, updated_at=at, recorded_at=at,
        payment="voided",
    )  # fmt: skip


def test_points_of_a_challenge_come_back_from_the_terms_of_each_version() -> None:
    def challenge(points: int, **terms: str) -> dict[str, Any]:
        return {"challenges": [{"id": "two", "counts": "orders", "at": [2], "points": points, **terms}]}

    bonus = [{"id": "bonus", "pending": {"days": 0}, "expiry": {"days": 30}}]
    first = program(spend(rate="0"), pending_days=0, rest=challenge(50))
    second = program(
        spend(rate="0"), pending_days=0, version=2, effective_from=T0 + 10 * DAY, terms=bonus,
        rest=challenge(80, terms="bonus"),
    )  # fmt: skip
    ledger = Ledger(first, second).send(enrolled())
    for number, days in (("1", 0), ("2", 1), ("3", 11)):
        ledger.send(order(order_id=number, placed_at=T0 + days * DAY))
    assert ledger.buckets() == (0, 50, 0)
    assert ledger.send(cancelled("2", T0 + DAY, T0 + 12 * DAY)).buckets() == (0, 80, 0)
    assert ledger.send(cancelled("3", T0 + 11 * DAY, T0 + 12 * DAY)).buckets() == (0, 0, 0)
    same(ledger)


def moving(**values: Any) -> tuple[OrderChangedV1, OrderChangedV1]:
    """An order of the second version, and how it turns out to be of the first."""
    later = {"recorded_at": T0 + DAY, "updated_at": T0 + DAY, "paid_at": T0 + MINUTE}
    return order(placed_at=T0 + MINUTE), order(revision=2, placed_at=T0 - MINUTE, **later, **values)


def test_an_order_that_moves_to_another_version_keeps_nothing_of_the_one_before() -> None:
    kept: dict[str, Any] = {"pending_days": 0, "clawback": "within_balance"}
    first, last = moving()
    versions = [
        program(spend("base"), **kept),
        program(spend("base"), BONUS | {"terms": "later"}, version=2, effective_from=T0,
                terms=[{"id": "later", "pending": {"days": 30}}], **kept),
    ]  # fmt: skip
    ledger = Ledger(*versions).send(enrolled(T0 - 30 * DAY), first)
    ledger.do(redeem, ANN, Redeem(reward_id="ten-off"), T0 + timedelta(hours=1))
    assert ledger.send(last).sweep(T0 + 40 * DAY).buckets() == (0, 0, 0)
    same(ledger)


@pytest.mark.parametrize(("refunds", "given"), [((), 60), ((back("r", T0 + DAY, {"1": 7000}),), 30)])
def test_an_order_that_moves_counts_against_the_limits_of_where_it_is(refunds: Any, given: int) -> None:
    def version(number: int, start: Any, **caps: Any) -> Program:
        return program(spend("base"), version=number, effective_from=start, pending_days=0, **caps)

    caps = [{"id": "m", "per": "month", "points": 60}]
    first, last = moving(refunds=refunds, payment="partially_refunded" if refunds else "paid")
    ledger = Ledger(version(1, T0 - 3000 * DAY, caps=caps), version(2, T0)).send(enrolled(T0 - 30 * DAY), first, last)
    assert ledger.granted() == {"shop:1": {"base": given}}
    assert list(ledger.world.uses.values()) == [given]
    same(ledger)


def test_an_order_that_leaves_a_version_gives_back_what_it_had_of_its_limits() -> None:
    first, last = moving()
    caps = [{"id": "m", "per": "month", "points": 60}]
    versions = [
        program(spend("base"), pending_days=0),
        program(spend("base"), version=2, effective_from=T0, pending_days=0, caps=caps),
    ]
    ledger = Ledger(*versions).send(enrolled(T0 - 30 * DAY), first, last)
    assert ledger.granted() == {"shop:1": {"base": 100}}
    assert list(ledger.world.uses.values()) == [0]
    same(ledger)


@pytest.mark.parametrize(("clawback", "ends"), [("within_balance", (0, 0, 0)), ("unlimited", (0, 0, 0))])
def test_what_moved_to_other_terms_is_taken_from_where_it_is(clawback: str, ends: tuple[int, int, int]) -> None:
    """Each rule's points lie in a lot of its own, though by the new version one of them belongs elsewhere."""
    terms = [{"id": name, "pending": {"days": 30}} for name in ("fast", "slow")]

    def version(number: int, start: Any, of_b: dict[str, str]) -> Program:
        rules = [{"type": "spend", "id": name, "points_per_unit": "1", **more}
                 for name, more in (("a", {"terms": "fast"}), ("b", of_b))]  # fmt: skip
        return program(
            *rules, version=number, effective_from=start, terms=terms, clawback=clawback, pending_days=5
        )  # fmt: skip

    ledger = Ledger(version(1, T0 - 10 * DAY, {}), version(2, T0 + 10 * DAY, {"terms": "slow"})).send(enrolled())
    ledger.send(order(placed_at=T0 + 9 * DAY)).sweep(T0 + 15 * DAY)
    moved = {"placed_at": T0 + 11 * DAY, "recorded_at": T0 + 17 * DAY, "updated_at": T0 + 17 * DAY}
    ledger.send(order(revision=2, **moved))
    gone = {"payment": "refunded", "refunds": (back("r", T0 + 17 * DAY, {"1": 10000}),)}
    assert ledger.send(order(revision=3, **moved, **gone)).buckets() == ends
    assert ledger.sweep(T0 + 60 * DAY).buckets() == ends
    same(ledger)
