"""Facts of one order, in any order, number and grouping, end with the same document."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import reduce
from time import process_time
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.base import EARLIEST
from contracts.orders import Amount, Dispute, OrderLine, Refund
from contracts.program import ProgramBook
from order_ingest.domain.facts import LooseDispute, LooseRefund, LooseRefundLine, Money, Snapshot
from order_ingest.domain.merge import (
    EMPTY,
    READING,
    OrderState,
    join,
    of_dispute,
    of_published,
    of_refund,
    of_snapshot,
    render,
    told,
)

START = datetime(2024, 5, 1, tzinfo=UTC)
PAYMENTS = ("pending", "authorized", "voided", "partially_paid", "paid", "partially_refunded", "refunded")


def usd(minor: int) -> Amount:
    return Amount(shop_minor=minor, presentment_minor=minor)


def line(line_id: str = "a", quantity: int = 1, minor: int = 1000) -> OrderLine:
    return OrderLine(line_id=line_id, quantity=quantity, gross=usd(minor))


def snapshot(hours: int = 0, **fields: Any) -> Snapshot:
    document = {
        "source": "shop",
        "order_id": "1",
        "currency": "USD",
        "presentment_currency": "USD",
        "placed_at": START,
        "updated_at": START + timedelta(hours=hours),
        "payment": "pending",
        "lines": (line(),),
        "subtotal": usd(1000),
        "total": usd(1000),
    }
    return Snapshot.model_validate(document | fields)


def loose(refund_id: str = "r1", shop: str = "5.00", paid: Decimal | None = None) -> LooseRefund:
    part = LooseRefundLine(line_id="a", quantity=1, subtotal=Money(shop=Decimal(shop)))
    return LooseRefund(refund_id=refund_id, occurred_at=START + timedelta(days=1), lines=(part,), paid=paid)


Outcome = Literal["open", "won", "lost"]
Fact = Snapshot | LooseRefund | LooseDispute


def contest(
    opened: int = 0, outcome: Outcome = "open", closed: int | None = None, amount: str | None = "5.00"
) -> LooseDispute:
    """Hours after the start."""
    return LooseDispute(
        dispute_id="d1",
        opened_at=START + timedelta(hours=opened),
        outcome=outcome,
        closed_at=None if closed is None else START + timedelta(hours=closed),
        amount=None if amount is None else Decimal(amount),
    )


def of(fact: Fact) -> OrderState:
    if isinstance(fact, Snapshot):
        return of_snapshot(fact)
    return of_refund(fact) if isinstance(fact, LooseRefund) else of_dispute(fact)


def merged(*facts: Fact) -> OrderState:
    return reduce(join, map(of, facts), EMPTY)


moments = st.integers(0, 5).map(lambda hours: START + timedelta(hours=hours))
lines = st.builds(line, st.sampled_from("abc"), st.integers(0, 2), st.integers(0, 3))
amounts = st.integers(0, 2).map(usd)
refunds = st.builds(
    Refund, refund_id=st.sampled_from(("r1", "r2")), occurred_at=moments, paid=amounts, goodwill=st.booleans()
)  # fmt: skip
outcomes = st.sampled_from(("open", "won", "lost"))
ends = st.none() | st.sampled_from((EARLIEST, START))
disputes = st.builds(
    Dispute, dispute_id=st.sampled_from(("d1", "d2")), opened_at=moments, outcome=outcomes, closed_at=ends,
    amount=st.none() | amounts,
)  # fmt: skip
snapshots = st.builds(
    snapshot,
    hours=st.integers(0, 2),
    version=st.integers(0, 1),
    payment=st.sampled_from(PAYMENTS),
    placed_at=moments,
    paid_at=st.none() | moments,
    cancelled_at=st.none() | moments,
    fulfilled_at=st.none() | moments,
    total=st.integers(0, 3).map(usd),
    lines=st.lists(lines, unique_by=lambda item: item.line_id),
    refunds=st.lists(refunds, unique_by=lambda item: item.refund_id),
    disputes=st.lists(disputes, unique_by=lambda item: item.dispute_id),
)  # fmt: skip
looses = st.builds(
    loose, st.sampled_from(("r1", "r2", "r3")), st.sampled_from(("1.00", "2.00")),
    st.sampled_from((None, Decimal(10), Decimal("9.0"))),
)  # fmt: skip
contests = st.builds(
    LooseDispute, dispute_id=st.sampled_from(("d1", "d3")), opened_at=moments, outcome=outcomes, closed_at=ends,
    amount=st.none() | st.sampled_from((Decimal("1.0"), Decimal("1.00"), Decimal(10))),
    currency=st.sampled_from((None, "USD", "EUR")),
)  # fmt: skip
few = st.lists(snapshots | looses | contests, max_size=3)
several = st.lists(snapshots | looses | contests, min_size=1, max_size=6) | st.lists(contests, min_size=2, max_size=4)


@given(facts=several, data=st.data())
@settings(max_examples=200, deadline=None)
def test_any_order_number_and_grouping_gives_the_same_document(facts: list[Fact], data: st.DataObject) -> None:
    expected = merged(*facts)
    again = data.draw(st.permutations([*facts, *data.draw(st.lists(st.sampled_from(facts), max_size=4))]))
    cut = data.draw(st.integers(0, len(again)))
    grouped = join(merged(*again[cut:]), merged(*again[:cut]))
    assert grouped.model_dump_json() == expected.model_dump_json()
    assert join(expected, grouped) == expected
    stored = OrderState.model_validate_json(expected.model_dump_json())
    assert stored == expected, "what is stored is what was known"
    rendered, again_rendered = render(stored), render(grouped)
    assert rendered == again_rendered


@given(before=few, since=few)
@settings(max_examples=200, deadline=None)
def test_an_order_that_was_published_is_known_again(before: list[Fact], since: list[Fact]) -> None:
    """After a restore to what was known before; and what comes again then changes nothing."""
    state = restored = merged(*before)
    for revision, fact in enumerate(since):
        known, state = render(state), join(state, of(fact))
        news = render(state)
        if news is not None and news != known:
            restored = join(restored, of_published(news, revision))
    assert render(restored) == render(state)
    assert render(reduce(join, map(of, since), restored)) == render(state)


@given(first=snapshots, second=snapshots)
@settings(max_examples=100, deadline=None)
def test_a_tie_never_takes_back_a_payment(first: Snapshot, second: Snapshot) -> None:
    tie = {"version": 0, "updated_at": START}
    paid = first.model_copy(update={**tie, "payment": "paid"})
    other = second.model_copy(update={**tie, "payment": "pending"})
    facts = render(merged(other, paid))
    assert facts is not None
    assert facts.payment == "paid"


def test_while_no_version_asks_for_an_attribute_what_may_be_a_code_goes_on() -> None:
    state = merged(snapshot(attributes={"gift": "for Mrs. Smith", "by": "7KQ2-M9XA", "phone": "+1 555 0100"}))
    facts = told(state, ProgramBook(), "aurora")
    assert facts is not None
    assert facts.attributes == {"by": "7KQ2-M9XA"}


def test_a_refund_waits_for_its_order() -> None:
    assert render(merged(loose())) is None
    facts = render(merged(loose(), snapshot(currency="JPY", presentment_currency="JPY")))
    assert facts is not None
    assert facts.refunds[0].lines[0].subtotal == usd(5), "yen have no decimals, which the refund alone did not know"


def test_a_refund_alone_is_brought_to_the_buyers_currency() -> None:
    total = Amount(shop_minor=1000, presentment_minor=900)
    facts = render(merged(snapshot(presentment_currency="EUR", total=total), loose()))
    assert facts is not None
    assert facts.refunds[0].lines[0].subtotal == Amount(shop_minor=500, presentment_minor=450)


def test_goodwill_is_told_by_the_refund_wherever_it_comes_from() -> None:
    kind = Refund(refund_id="r2", occurred_at=START, paid=usd(1), goodwill=True)
    facts = render(merged(loose().model_copy(update={"goodwill": True}), snapshot(refunds=(kind,)), loose("r3")))
    assert facts is not None
    assert {item.refund_id: item.goodwill for item in facts.refunds} == {"r1": True, "r2": True, "r3": False}


def contested(*facts: Fact) -> Dispute:
    """The dispute of an order of 10.00 USD, whichever fact comes first."""
    document, reverse = render(merged(*facts)), render(merged(*facts[::-1]))
    assert document is not None
    assert document == reverse
    [dispute] = document.disputes
    return dispute


def test_a_dispute_waits_for_its_order() -> None:
    assert render(merged(contest())) is None
    assert contested(contest(), snapshot()) == Dispute(dispute_id="d1", opened_at=START, amount=usd(500))


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        pytest.param((contest(2, "open"), contest(1, "open")), (1, "open", None), id="first opened"),
        pytest.param((contest(1, "lost"), contest(2, "open")), (1, "lost", None), id="an end beats none, dated or not"),
        pytest.param((contest(1, "lost", 5), contest(1, "open", 9)), (1, "lost", 5), id="nothing ended at nine"),
        pytest.param((contest(1, "lost", 5), contest(1, "won", 6)), (1, "won", 6), id="won on appeal"),
        pytest.param((contest(1, "won", 5), contest(1, "lost", 6)), (1, "lost", 6), id="lost after all"),
        pytest.param((contest(1, "won"), contest(1, "lost", 0)), (1, "lost", 0), id="a dated end beats an undated one"),
        pytest.param((contest(1, "lost", 5), contest(1, "won", 5)), (1, "won", 5), id="a tie"),
    ],
)
def test_what_is_known_of_a_dispute(facts: tuple[Fact, ...], expected: tuple[int, Outcome, int | None]) -> None:
    opened, outcome, closed = expected
    facts = (snapshot(), *facts)
    assert contested(*facts).model_dump(exclude={"amount"}) == contest(opened, outcome, closed).model_dump(
        exclude={"amount", "currency"}
    )


def test_the_amount_of_a_dispute_is_as_told_last() -> None:
    told = [
        snapshot(hours=hours, disputes=(Dispute(dispute_id="d1", opened_at=START, amount=amount, outcome=outcome),))
        for hours, amount, outcome in ((1, usd(300), "lost"), (2, usd(200), "open"))
    ]
    assert contested(*told) == Dispute(dispute_id="d1", opened_at=START, amount=usd(200), outcome="lost")
    assert contested(snapshot(), contest(), contest(0, "won", 1, "3.00")).amount == usd(300)
    assert contested(*told, contest(0, "won", 1)) == Dispute(
        dispute_id="d1", opened_at=START, amount=usd(200), outcome="won", closed_at=START + timedelta(hours=1)
    ), "a snapshot tells both currencies"


def test_a_late_snapshot_changes_no_scalar_and_still_tells_first_times() -> None:
    late = snapshot(hours=1, payment="pending", paid_at=START, total=usd(1))
    facts = render(merged(snapshot(hours=2, payment="paid", paid_at=START + timedelta(hours=2)), late))
    assert facts is not None
    assert (facts.payment, facts.total, facts.paid_at) == ("paid", usd(1000), START)


def test_lines_stay_as_placed() -> None:
    edited = snapshot(hours=1, lines=(line("b"), line("a", quantity=1)))
    facts = render(merged(snapshot(lines=(line("a", quantity=3), line("c"))), edited))
    assert facts is not None
    assert [(item.line_id, item.quantity) for item in facts.lines] == [("b", 1), ("a", 3), ("c", 1)]


def test_a_delivery_that_is_read_again_by_a_mended_adapter_counts() -> None:
    for wrong, right in ((1, 2), (2, 1)):
        before, after = (snapshot(total=usd(minor)) for minor in (wrong, right))
        old = of_snapshot(before).model_dump()
        del old["rank"]["reading"]
        for state in (of_snapshot(before, READING - 1), OrderState.model_validate(old)):
            assert join(state, of_snapshot(after)) == join(of_snapshot(after), state)
            assert join(state, of_snapshot(after)).latest == after


def test_a_refund_told_alone_knows_what_was_paid_once_it_was_told() -> None:
    facts = render(merged(snapshot(), loose(), loose(paid=Decimal(10)), loose()))
    assert facts is not None
    assert facts.refunds[0].paid == usd(1000)


def test_an_order_of_very_many_lines_is_rendered_at_once() -> None:
    state = merged(snapshot(lines=tuple(line(str(number)) for number in range(10_000))))
    began = process_time()
    assert render(state) == state.latest
    assert process_time() - began < 1


def test_the_platforms_version_counts_before_its_clock() -> None:
    facts = render(merged(snapshot(hours=5, version=1, total=usd(1)), snapshot(hours=1, version=2, total=usd(2))))
    assert facts is not None
    assert facts.total == usd(2)


@pytest.mark.parametrize("repeat", [1, 3])
def test_no_change_is_no_change(repeat: int) -> None:
    facts: tuple[Fact, ...] = (snapshot(payment="paid"), loose(), contest())
    assert merged(*facts * repeat) == merged(*facts)
