"""Draws: the same for everybody who computes them, and no change goes unseen."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from points_accrual.domain.challenges import surprise
from points_accrual.domain.drawing import Entry, commitment, digest, draw, faults

SEED = bytes(range(32))
TICKETS = [Entry(UUID(int=n), UUID(int=1000 + n % 7)) for n in range(1, 30)]


def test_a_known_draw() -> None:
    """Worked out apart: HMAC-SHA256(seed, "bike" + 0x1f + coupon id), the lowest first."""
    assert commitment(SEED) == "630dcd2966c4336691125448bbb25b4ff412a49c732db2c8abc1b8581bd710dd"
    winners = draw(SEED, "bike", TICKETS, 3)
    assert winners == draw(SEED, "bike", reversed(TICKETS), 3)
    assert len({item.member_id for item in winners}) == 3
    assert len(draw(SEED, "bike", TICKETS, 50)) == 7


@given(st.integers(0, len(TICKETS) - 1), st.sampled_from(["seed", "entry", "winner"]))
def test_every_change_is_noticed(place: int, what: str) -> None:
    winners = [item.coupon_id for item in draw(SEED, "bike", TICKETS, 3)]
    told = {"committed": commitment(SEED), "told_digest": digest(TICKETS), "told_winners": winners}
    assert faults(SEED, "bike", TICKETS, 3, **told) == []  # type: ignore[arg-type]
    seed, tickets = SEED, list(TICKETS)
    if what == "seed":
        seed = bytes([*SEED[:-1], 99])
    elif what == "entry":
        del tickets[place]
    else:
        told["told_winners"] = winners[::-1]
    assert faults(seed, "bike", tickets, 3, **told)  # type: ignore[arg-type]


def test_a_surprise_is_one_place_of_each_block() -> None:
    places = [surprise(SEED, "luck", UUID(int=1), block, 10) for block in range(200)]
    assert set(places) == set(range(1, 11))
