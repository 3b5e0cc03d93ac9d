"""Which events call for a message."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

import contracts
from contracts.challenges import ChallengeCompletedV1
from contracts.members import MemberChangedV1
from contracts.points import Balances, Cause, PointsGrantedV1
from contracts.rewards import RewardEvent, RewardExpiredV1, RewardReturnedV1, RewardUsedV1
from contracts.tiers import StandingChangedV1
from notification.domain import calls
from notification.domain.world import CODE_WAIT, CONTACT_WAIT, Recipient, World

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
MEMBER = UUID(int=7)
EXAMPLES = Path(contracts.__file__).parent / "examples"


def granted(kind: str, points: int = 250, **cause: object) -> PointsGrantedV1:
    return PointsGrantedV1(
        program_id="aurora", member_id=MEMBER, program_version=1, program_hash="x", sequence=1, account_version=1,
        occurred_at=NOW, effective_at=NOW, cause=Cause.model_validate({"kind": kind, "id": "e", **cause}), transfers=(),
        points=points, balances=Balances(pending=250, active=0, held=0, deficit=0), claim_kind="order",
        claim_id="shop:1",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "template"),
    [
        ("order", "points_earned"),
        ("standing", "points_earned"),
        ("enrolment", "points_earned"),
        ("program", "points_earned"),
        ("activity", "points_earned"),
        ("date", "points_earned"),
        ("referral", "referral_rewarded"),
        ("challenge", None),
        ("command", None),
        ("sweep", None),
    ],
)
def test_grants_by_their_cause(kind: str, template: str) -> None:
    call = calls.granted(granted(kind))
    assert (call.template if call else None) == template


@pytest.mark.parametrize(("kind", "bought"), [("order", True), ("activity", False), ("date", False)])
def test_who_did_not_buy_is_not_thanked_for_shopping(kind: str, bought: bool) -> None:
    call = calls.granted(granted(kind))
    assert call is not None
    assert call.parameters["bought"] is bought


def test_a_challenge_with_a_reward_is_told_by_the_reward() -> None:
    facts = {
        "program_id": "aurora", "member_id": MEMBER, "challenge_id": "three", "program_version": 1, "sequence": 1,
        "occurred_at": NOW, "counts": "orders", "number": 1, "generation": 1, "reached_at": NOW,
    }  # fmt: skip
    assert calls.completed(ChallengeCompletedV1.model_validate(facts | {"reward_id": "five-off"})) is None
    call = calls.completed(ChallengeCompletedV1.model_validate(facts | {"points": 60}))
    assert call is not None
    assert call.parameters == {"challenge_id": "three", "points": 60}


@pytest.mark.parametrize(
    ("event", "name"),
    [
        (RewardUsedV1, "reward.used"), (RewardReturnedV1, "reward.returned"), (RewardExpiredV1, "reward.expired"),
    ],
)  # fmt: skip
def test_the_shop_learns_what_became_of_a_coupon(event: type[RewardEvent], name: str) -> None:
    path = next((EXAMPLES / event.TYPE).glob("*.json"))
    call = calls.reward_changed(event.model_validate_json(path.read_bytes()))
    assert (call.template, call.channel) == (name, "webhook")
    assert call.parameters["coupon_id"]


def test_a_grant_of_nothing_calls_for_nothing() -> None:
    assert calls.granted(granted("order", points=0)) is None


def test_the_role_in_a_referral_is_kept() -> None:
    call = calls.granted(granted("referral", role="friend"))
    assert call is not None
    assert call.parameters["role"] == "friend"


@pytest.mark.parametrize(("change", "called"), [("upgraded", True), ("downgraded", False), ("unchanged", False)])
def test_only_a_rise_is_announced(change: str, called: bool) -> None:
    event = StandingChangedV1(
        program_id="aurora", member_id=MEMBER, version=2, intervals=(), change=change, from_tier_id="member",
        to_tier_id="silver", tier_points=2000, occurred_at=NOW, recorded_at=NOW,
    )  # fmt: skip
    assert (calls.upgraded(event) is not None) == called


@pytest.mark.parametrize(
    ("version", "known", "age_days"), [(1, False, 0), (2, True, 0), (9, True, 0), (2, False, 300), (9, False, 300)]
)
def test_a_welcome_is_news_unless_the_member_is_met_late(version: int, known: bool, age_days: int) -> None:
    event = MemberChangedV1(
        program_id="aurora", member_id=MEMBER, version=version, status="member", seen_at=NOW,
        enrolled_at=NOW - timedelta(days=300), recorded_at=NOW,
    )  # fmt: skip
    assert calls.welcome(event, known=known).recorded_at == NOW - timedelta(days=age_days)


def world() -> World:
    return World(now=NOW, oldest=NOW - timedelta(hours=48), recipients={})


@pytest.mark.parametrize(("age_hours", "state"), [(0, "due"), (47, "due"), (48, "due"), (49, "suppressed")])
def test_old_news_are_recorded_and_not_sent(age_hours: int, state: str) -> None:
    here = world()
    call = calls.Call("coupon", {"code": "SECRET"}, NOW - timedelta(hours=age_hours))
    here.call(call, Recipient(MEMBER, "aurora", email="a@example.com"), UUID(int=1), "c", None)
    (message,) = here.messages
    assert message.state == state
    assert (message.parameters == {}) == (state == "suppressed")


def test_webhooks_are_never_too_old() -> None:
    here = world()
    call = calls.Call("reward.issued", {}, NOW - timedelta(days=9), channel="webhook")
    here.call(call, Recipient(MEMBER, "aurora"), UUID(int=1), "c", None)
    assert here.messages[0].state == "due"
    assert here.messages[0].due_at == NOW


def test_the_id_of_a_message_follows_from_its_event_and_channel() -> None:
    ids = set()
    for _ in range(2):
        here = world()
        for event_id in (1, 2):
            for channel in ("email", "webhook"):
                call = calls.Call("coupon", {}, NOW, channel=channel)
                here.call(call, Recipient(MEMBER, "aurora"), UUID(int=event_id), "c", None)
        ids |= {message.message_id for message in here.messages}
    assert len(ids) == 4


def test_messages_wait_for_what_they_need() -> None:
    nobody, known = Recipient(MEMBER, "aurora"), Recipient(MEMBER, "aurora", email="a@example.com")
    assert nobody.due_at("coupon", NOW) == NOW + CONTACT_WAIT
    assert known.due_at("coupon", NOW) == NOW
    assert known.due_at("welcome", NOW) == NOW + CODE_WAIT
    known.referral_code = "X"
    assert known.due_at("welcome", NOW) == NOW
