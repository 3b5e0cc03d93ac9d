"""One person, one member; and when a shopper becomes one."""

import itertools
from datetime import UTC, datetime, timedelta
from functools import reduce
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.commerce import Customer, OrderReport
from contracts.members import IDENTITY_EMAILS_MAX
from contracts.program import Program, ProgramBook, ProgramPublishedV1
from order_ingest.domain.fingerprints import email_fingerprint, order_fingerprints
from order_ingest.domain.identity import Address, IdentityKey, Person, Resolution, resolve
from order_ingest.domain.masking import masked
from order_ingest.domain.members import (
    WAITING_MAX,
    MemberState,
    Moment,
    Sighting,
    contact_event,
    enrol,
    member_event,
    moments_of,
    observe,
    recalled,
)
from order_ingest.domain.shopify import read

from .payloads import body, dispute, genuine, order

A, B, NEW = (UUID(int=number) for number in (1, 2, 3))
AT = datetime(2024, 5, 1, tzinfo=UTC)
SALT = b"salt"


def person(customer_id: str | None = "77", email: str | None = " Ada@Example.com ", *, verified: bool = True) -> Person:
    return Person.of("aurora", "shop", Customer(customer_id=customer_id, email=email, email_verified=verified))


CUSTOMER = IdentityKey("aurora", "customer", "shop", "77")
EMAIL = IdentityKey("aurora", "email", "", "ada@example.com")


@pytest.mark.parametrize(
    ("who", "owners", "shops", "expected"),
    [
        pytest.param(person(), {}, {}, Resolution(NEW, (CUSTOMER, EMAIL)), id="new customer claims both"),
        pytest.param(person(verified=False), {}, {}, Resolution(NEW, (CUSTOMER,)), id="unverified address"),
        pytest.param(person(None), {}, {}, Resolution(NEW, (EMAIL,)), id="new guest"),
        pytest.param(person(None), {EMAIL: A}, {}, Resolution(A), id="guest again, or of an account"),
        pytest.param(person(), {EMAIL: A}, {}, Resolution(A, (CUSTOMER,)), id="guest registers, verified"),
        pytest.param(person(verified=False), {EMAIL: A}, {}, Resolution(NEW, (CUSTOMER,)), id="guest's, unverified"),
        pytest.param(person(), {EMAIL: A}, {A: {"shop"}}, Resolution(NEW, (CUSTOMER,), clash=True), id="other account"),
        pytest.param(person(), {EMAIL: A}, {A: {"outlet"}}, Resolution(A, (CUSTOMER,)), id="account at another shop"),
        pytest.param(person(), {CUSTOMER: A}, {}, Resolution(A, (EMAIL,)), id="address verified later"),
        pytest.param(person(), {CUSTOMER: A, EMAIL: A}, {}, Resolution(A), id="known"),
        pytest.param(person(), {CUSTOMER: A, EMAIL: B}, {}, Resolution(A, clash=True), id="two stay two"),
        pytest.param(person("77", None), {}, {}, Resolution(NEW, (CUSTOMER,)), id="no address"),
        pytest.param(person(None, None), {}, {}, Resolution(NEW), id="nobody known"),
    ],
)
def test_who_it_is(
    who: Person, owners: dict[IdentityKey, UUID], shops: dict[UUID, set[str]], expected: Resolution
) -> None:
    def address_of(_: UUID) -> Address:
        return "ada@example.com", AT

    assert resolve(who, AT, owners, lambda member: frozenset(shops.get(member, ())), address_of, NEW) == expected


@pytest.mark.parametrize(
    ("who", "owners", "shops", "expected"),
    [
        pytest.param(person(), {EMAIL: A}, {"shop"}, Resolution(NEW, (CUSTOMER, EMAIL)), id="a new account"),
        pytest.param(person(), {EMAIL: A}, {"outlet"}, Resolution(A, (CUSTOMER,)), id="known at another shop"),
        pytest.param(person(), {CUSTOMER: B, EMAIL: A}, {"shop"}, Resolution(B, (EMAIL,)), id="a known account"),
        pytest.param(person(), {CUSTOMER: A, EMAIL: A}, {"shop"}, Resolution(A), id="they themselves"),
        pytest.param(person(None), {EMAIL: A}, {"shop"}, Resolution(A), id="a guest verifies nothing"),
        pytest.param(person(verified=False), {EMAIL: A}, {"shop"}, Resolution(NEW, (CUSTOMER,)), id="unverified"),
    ],
)
def test_who_has_moved_gives_the_address_up_to_who_has_it_verified(
    who: Person, owners: dict[IdentityKey, UUID], shops: set[str], expected: Resolution
) -> None:
    moved = ("new@example.com", AT - timedelta(hours=1))
    assert resolve(who, AT, owners, lambda _: frozenset(shops), lambda _: moved, NEW) == expected
    if expected.claims and EMAIL in expected.claims:
        unmoved = resolve(who, AT, owners, lambda _: frozenset(shops), lambda _: None, NEW)
        assert EMAIL not in unmoved.claims, "whose address is not known has not moved"


def test_what_is_told_late_takes_no_address_back_that_was_left_since() -> None:
    """Not by who has moved on, too; and not by who had it verified when the other was still there."""
    before, after, owners = AT - timedelta(hours=1), AT + timedelta(hours=1), {CUSTOMER: B, EMAIL: A}

    def told(at_a: datetime, at_b: datetime) -> Resolution:
        moved = {A: ("new@example.com", at_a), B: ("newer@example.com", at_b)}
        return resolve(person(), AT, owners, lambda _: frozenset({"shop"}), moved.get, NEW)

    assert told(before, before) == Resolution(B, (EMAIL,))
    assert told(before, after) == told(after, before) == told(AT, before) == Resolution(B, clash=True)


def sighting(hours: int = 0, moments: tuple[Moment, ...] = (), **customer: Any) -> Sighting:
    at = AT + timedelta(hours=hours)
    return Sighting(
        seen_at=at, told_at=at, source="shop", customer=Customer.model_validate(customer), moments=moments
    )  # fmt: skip


sightings = st.builds(
    sighting,
    st.integers(0, 3),
    st.lists(
        st.builds(Moment, kind=st.sampled_from(("account", "first_order", "opt_in")), at=st.just(AT)), max_size=2
    ).map(tuple),
    customer_id=st.none() | st.sampled_from(("1", "2")),
    email=st.none() | st.sampled_from(("a@x.io", "b@x.io")),
    email_consent=st.none() | st.booleans(),
    first_name=st.none() | st.sampled_from(("Ada", "Eve")),
    birthday=st.none() | st.sampled_from(("02-29", "12-10")),
)


def observed(seen: list[Sighting]) -> MemberState:
    state: MemberState | None = reduce(observe, seen, None)
    assert state is not None
    return state


@given(seen=st.lists(sightings, min_size=1, max_size=5), data=st.data())
def test_what_is_known_does_not_depend_on_the_order_it_was_told_in(seen: list[Sighting], data: st.DataObject) -> None:
    again = data.draw(st.permutations([*seen, *data.draw(st.lists(st.sampled_from(seen), max_size=3))]))
    assert observed(again).model_dump_json() == observed(seen).model_dump_json()
    assert MemberState.model_validate_json(observed(seen).model_dump_json()) == observed(seen)


def program(version: int, effective_from: datetime, on: list[str]) -> ProgramPublishedV1:
    document = Program.model_validate(
        {
            "id": "aurora",
            "version": version,
            "name": {"en": "Aurora"},
            "currency": "USD",
            "zone": "UTC",
            "effective_from": effective_from,
            "point": {"name": {"en": "Star"}, "value_minor": "1"},
            "enrolment": {"on": on},
            "earning": {"rules": [{"type": "spend", "id": "spend", "points_per_unit": "1"}]},
            "tiers": {"levels": [{"id": "base", "name": {"en": "Base"}, "threshold": 0}]},
            "messages": {"sender_name": "Aurora"},
        }
    )
    return ProgramPublishedV1(
        program_id="aurora", version=version, hash=document.hash(), published_at=AT, document=document
    )  # fmt: skip


def book(*versions: ProgramPublishedV1) -> ProgramBook:
    programs = ProgramBook()
    for version in versions:
        programs.add(version)
    return programs


def moment(kind: str, days: int) -> Moment:
    return Moment.model_validate({"kind": kind, "at": AT + timedelta(days=days)})


ACCOUNTS, ORDERS = program(1, AT, ["account"]), program(2, AT + timedelta(days=10), ["first_order"])


@pytest.mark.parametrize(
    ("moments", "expected_day"),
    [
        ([moment("account", 1)], 1),
        ([moment("first_order", 1)], None),
        ([moment("first_order", 11)], 11),
        ([moment("account", 11)], None),
        ([moment("opt_in", 12)], 12),
        ([moment("opt_in", 12), moment("account", 3)], 3),
        ([moment("account", -300)], -300),
    ],
)
def test_a_moment_is_judged_by_the_version_in_force_then(moments: list[Moment], expected_day: int | None) -> None:
    state = enrol(observed([sighting(moments=tuple(moments))]), book(ACCOUNTS, ORDERS), "aurora")
    assert state.enrolled_at == (None if expected_day is None else AT + timedelta(days=expected_day))
    assert state.waiting == ()


@pytest.mark.parametrize(
    ("told", "account_at"),
    [
        ({"updated_at": "2024-05-01T10:00:05+02:00"}, "2024-05-01T07:59:58+00:00"),
        ({"updated_at": "2024-05-02T09:59:58+02:00"}, "2024-05-01T07:59:58+00:00"),
        ({"updated_at": "2024-05-02T09:59:59+02:00"}, "2024-05-02T07:59:59+00:00"),
        ({"updated_at": "2024-12-24T10:00:00+01:00"}, "2024-12-24T09:00:00+00:00"),
        ({"updated_at": "2024-12-24T10:00:00+01:00", "customer": {"id": 77, "state": "disabled"}}, None),
        ({"test": True}, None),
    ],
    ids=["with the order", "within a day", "later", "touched in December", "no account", "a test"],
)
def test_an_account_is_as_old_as_the_word_of_it(told: dict[str, Any], account_at: str | None) -> None:
    report = read(body(order(**told)), "shop")
    assert isinstance(report, OrderReport)
    found = {moment.kind: moment.at for moment in moments_of(report)}
    assert found.get("account") == (datetime.fromisoformat(account_at) if account_at else None)
    assert found.get("first_order") == (None if report.test else report.placed_at)


def test_moments_wait_for_their_program_and_an_earlier_one_moves_the_enrolment() -> None:
    state = observed([sighting(moments=(moment("account", 5),))])
    assert enrol(state, ProgramBook(), "aurora") == state
    state = enrol(state, book(ACCOUNTS), "aurora")
    earlier = enrol(observe(state, sighting(moments=(moment("account", 2),))), book(ACCOUNTS), "aurora")
    later = enrol(observe(earlier, sighting(moments=(moment("account", 9),))), book(ACCOUNTS), "aurora")
    assert (state.enrolled_at, earlier.enrolled_at, later) == (AT + timedelta(5), AT + timedelta(2), earlier)


def test_however_many_moments_wait_the_earliest_are_kept() -> None:
    kinds = [("account", 0), ("first_order", 1), ("opt_in", 2)]
    seen = [sighting(moments=tuple(moment(kind, first + n) for n in range(1200))) for kind, first in kinds]
    for told in (seen, seen[::-1]):
        state = observed([*told, sighting(moments=(moment("account", -1),)), *told])
        assert [item for item in state.waiting if item.kind == "account"][:2] == [moment("account", n) for n in (-1, 0)]
        assert len(state.waiting) == 3 * WAITING_MAX
        assert MemberState.model_validate_json(state.model_dump_json()) == state
        assert enrol(state, book(ORDERS), "aurora").enrolled_at == AT + timedelta(days=1)


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ([(0, "12-10"), (1, "02-29")], "12-10"),
        ([(0, None), (1, "12-10"), (2, None)], "12-10"),
        ([(1, "12-10"), (1, "02-29")], "02-29"),
    ],
    ids=["the first stays", "nothing said changes nothing", "of two at once the smaller text"],
)
def test_nobody_has_two_birthdays_a_year(told: list[tuple[int, str | None]], expected: str) -> None:
    for order_ in (told, told[::-1]):
        state = observed([sighting(hours, customer_id="77", birthday=birthday) for hours, birthday in order_])
        event = member_event(state, salt=SALT, program_id="aurora", member_id=A, version=1, recorded_at=AT)
        assert event.birthday == expected


def test_an_account_is_not_overwritten_by_guests() -> None:
    """A guest may order by an address that the account once had."""
    told = [
        sighting(0, customer_id="1", email="old@x.io", first_name="Ada", email_consent=False, locale="en"),
        sighting(1, customer_id="1", email="new@x.io"),
        sighting(2, email="old@x.io", first_name="Evil", last_name="Eve", email_consent=True, locale="az"),
    ]
    for seen in itertools.permutations(told):
        values = {field: statement.value for field, statement in observed(list(seen)).told.items()}
        assert values == {
            "email": "new@x.io", "first_name": "Ada", "last_name": "Eve", "email_consent": False, "locale": "en",
        }  # fmt: skip


def test_what_is_recalled_of_an_account_is_not_overwritten_by_guests() -> None:
    account = observed([sighting(0, customer_id="1", email="new@x.io", email_consent=False)])
    known: dict[str, Any] = {"program_id": "aurora", "member_id": A, "version": 1, "recorded_at": AT}
    state = recalled(recalled(None, member_event(account, salt=SALT, **known)), contact_event(account, **known))
    state = observe(state, sighting(1, email="old@x.io", email_consent=True))
    assert (state.told["email"].value, state.told["email_consent"].value) == ("new@x.io", False)
    state = observe(state, sighting(2, customer_id="1", email="newest@x.io"))
    assert state.told["email"].value == "newest@x.io"


def test_only_contacts_carry_clear_personal_data() -> None:
    state = observed([sighting(customer_id="77", email="ada@example.com", first_name="Ada", locale="az")])
    known: dict[str, Any] = {"program_id": "aurora", "member_id": A, "version": 1, "recorded_at": AT}
    member = member_event(state, salt=SALT, **known).model_dump_json()
    assert "ada" not in member.lower()
    assert '"status":"shopper"' in member
    contact = contact_event(state, **known)
    assert (contact.email, contact.first_name, contact.last_name) == ("ada@example.com", "Ada", None)


@pytest.mark.parametrize("alias", ["ada@gmail.com", " ADA+shop@gmail.com", "a.d.a@googlemail.com"])
def test_aliases_have_one_fingerprint(alias: str) -> None:
    assert email_fingerprint(SALT, alias) == email_fingerprint(SALT, "ada@gmail.com")


def test_dots_tell_people_apart_elsewhere_and_so_does_the_salt() -> None:
    assert email_fingerprint(SALT, "a.da@x.io") != email_fingerprint(SALT, "ada@x.io")
    assert email_fingerprint(SALT, "ada@x.io") != email_fingerprint(b"other", "ada@x.io")
    assert email_fingerprint(SALT, None) is None


def test_addresses_differ_by_more_than_spelling() -> None:
    def prints(address: str | None, ip: str | None = None) -> tuple[str | None, str | None]:
        report = read(body(order(browser_ip=ip)), "shop")
        assert isinstance(report, OrderReport)
        found = order_fingerprints(SALT, report.model_copy(update={"shipping_address": address}))
        return found.address, found.ip

    assert prints("12, Rue de l'Été,  Paris") == prints("12 RUE DE L ETE Paris")
    assert prints("12 Rue") != prints("13 Rue")
    assert prints(None, "0.0.0.0") == prints("...", "192.168.1.1") == (None, None)
    assert prints(None, "8.8.8.8")[1] != prints(None, "8.8.4.4")[1]


def test_a_delivery_can_be_looked_at_without_personal_data() -> None:
    shown = masked(genuine("shopify-order.json"))
    for private in ("Bob", "Norman", "hostmail", "Chestnut", "40202", "555-625", "Happy Birthday", "4242", "45.41634"):
        assert private not in shown
    for useful in ('"total_price": "409.94"', '"id": 450789469', '"financial_status": "authorized"', "2008-01-10"):
        assert useful in shown
    shown = masked(body(dispute(status="lost", finalized_on="2024-06-01")))
    for useful in ('"status": "lost"', '"finalized_on": "2024-06-01"', '"amount": "100.00"', '"type": "chargeback"'):
        assert useful in shown
    assert "ada@x.io" not in masked(b"ada@x.io is not JSON")


def test_of_very_many_addresses_the_latest_are_kept() -> None:
    state = None
    for number in range(IDENTITY_EMAILS_MAX + 5):
        claimed = {f"{number:03}@example.com": AT + timedelta(hours=number)}
        state = observe(state, sighting(number, customer_id="1").model_copy(update={"claimed": claimed}))
    assert state is not None
    event = contact_event(state, program_id="aurora", member_id=A, version=1, recorded_at=AT)
    assert [item.email for item in event.identity_emails] == [
        f"{number:03}@example.com" for number in range(5, IDENTITY_EMAILS_MAX + 5)
    ]
    assert recalled(None, event).identity_emails == state.identity_emails
