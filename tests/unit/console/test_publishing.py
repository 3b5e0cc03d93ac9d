"""Which versions may be published."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from console.document import check
from console.domain.publishing import RefusalError, judge
from contracts.program import Draw, Program

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def program(version: int = 1, *, after: timedelta = timedelta(days=1), **changes: object) -> Program:
    aurora, _ = check((Path(__file__).parents[3] / "programs" / "aurora.yaml").read_text("utf-8"))
    assert aurora is not None
    return aurora.model_copy(update={"version": version, "effective_from": NOW + after, **changes})


def test_the_first_version_may_have_any_number() -> None:
    assert judge(program(7), {}, [], now=NOW, backdate=False) == "new"


def test_the_same_again_is_known_however_late() -> None:
    old = program(1, after=-timedelta(days=90))
    assert judge(old, {1: old.hash(), 2: "f" * 64}, [], now=NOW, backdate=False) == "known"


def test_the_same_number_with_other_content_is_refused() -> None:
    with pytest.raises(RefusalError) as refusal:
        judge(program(1), {1: "f" * 64, 4: "e" * 64}, [], now=NOW, backdate=True)
    assert refusal.value.reason == "other_content"
    assert "version 5" in refusal.value.text


def test_numbers_only_rise() -> None:
    with pytest.raises(RefusalError) as refusal:
        judge(program(2), {3: "f" * 64}, [], now=NOW, backdate=True)
    assert refusal.value.reason == "not_newer"


@pytest.mark.parametrize(("seconds", "allowed"), [(-1, False), (0, False), (59, False), (60, True), (3600, True)])
def test_a_version_is_known_everywhere_before_it_takes_effect(seconds: int, allowed: bool) -> None:
    document = program(after=timedelta(seconds=seconds))
    assert judge(document, {}, [], now=NOW, backdate=True) == "new"
    if allowed:
        assert judge(document, {}, [], now=NOW, backdate=False) == "new"
    else:
        with pytest.raises(RefusalError) as refusal:
            judge(document, {}, [], now=NOW, backdate=False)
        assert refusal.value.reason == "too_soon"
        assert "2026-11-23T12:01:00+00:00" in refusal.value.text
        assert "backdate" in refusal.value.text


def test_a_seed_decides_one_thing_in_all_versions() -> None:
    def with_draw(version: int, draw_id: str) -> Program:
        draw = Draw(id=draw_id, name={"en": "Draw"}, closes_at=NOW + timedelta(days=9), winners=1, commitment="c" * 64)
        return program(version, draws=(draw,))

    first = with_draw(1, "autumn")
    known = {1: first.hash()}
    assert judge(with_draw(2, "autumn"), known, [first], now=NOW, backdate=False) == "new"
    with pytest.raises(RefusalError, match="draw winter was that of draw autumn") as refusal:
        judge(with_draw(2, "winter"), known, [first], now=NOW, backdate=False)
    assert refusal.value.reason == "seed_used"
