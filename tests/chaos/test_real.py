"""A short run of real chaos: nothing acknowledged is lost, nothing is done twice, and the checks can fail."""

from pathlib import Path

import pytest
from rich.console import Console

from laurel.services import SERVICES
from tests.e2e.history import Verdict
from tests.e2e.reference import TRAFFIC_SEED, Reference

from .real import report
from .real.edges import HOOK_TROUBLE, MAIL_TROUBLE
from .real.plants import PLANTS, plant
from .real.profiles import SHORT
from .real.run import Played, troubled

pytestmark = [pytest.mark.e2e, pytest.mark.integration, pytest.mark.timeout(900)]


def test_nothing_is_lost_or_doubled_whatever_fails(undisturbed: Reference, server_dir: Path, told: Console) -> None:
    unseen: list[str] = []
    result = troubled(
        server_dir / "chaos", TRAFFIC_SEED, SHORT, undisturbed.now, undisturbed.outcome,
        then=lambda played: unseen.extend(_unseen(played)),
    )  # fmt: skip
    report.tell([result], told)
    assert not result.wrong, "\n".join(result.wrong[:20])
    wanted = {kind for kind, times in SHORT.times.items() if times} - result.not_run.keys()
    wanted |= MAIL_TROUBLE.keys() | HOOK_TROUBLE.keys()
    assert {kind for kind in wanted if not result.fired[kind]} == set(), "a fault that never happened proves nothing"
    assert result.fired["kill"] == len(SERVICES), "each in its turn"
    assert {name for kind, name in result.by_service if kind == "kill"} == SERVICES.keys()
    assert all(result.verdicts[verdict.name.lower()] for verdict in Verdict)
    for kind in {"kafka_kill", "kafka_stop"} & wanted:
        assert result.away[kind].total(), f"nobody asked the edge during {kind}"
    assert not unseen, f"planted, and no check found it: {unseen}"


def _unseen(played: Played) -> list[str]:
    """Spoil the finished run in every way we know, and return what no check found."""
    assert played.till is not None
    verdicts = played.history.verdicts()
    refused = next(key for key in played.till.sold.orders if verdicts[key] is Verdict.REJECTED).removeprefix("order:")
    nothing = [item.name for item in PLANTS if not plant(played.stack.state, item, refused)]
    _, findings = played.check()
    told = "\n".join(findings.all)
    return [*nothing, *(f"{item.name}: {text}" for item in PLANTS for text in item.told if text not in told)]
