"""What a story expects of a moment, compared with what is."""

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from contracts.base import Event
from points_accrual.domain.reaching import count_challenge

from .parts import Buckets, Expectation, Progress
from .people import Someone
from .stage import Stage
from .units import Mistake, local

NAMES = ("pending", "active", "held", "deficit")


@dataclass(frozen=True, slots=True)
class Compared:
    """One thing that was expected, as people read it."""

    what: str
    expected: str
    got: str

    @property
    def same(self) -> bool:
        return self.expected == self.got


def balances(stage: Stage, name: str) -> dict[str, int]:
    """The buckets of a member now."""
    account = stage.account(name)
    return {bucket: getattr(account, bucket) for bucket in NAMES}


def shown(buckets: dict[str, int]) -> str:
    """Buckets as people read them: those that are not 0."""
    return " · ".join(f"{points} {bucket}" for bucket, points in buckets.items() if points) or "nothing"


def compare(
    stage: Stage, wanted: Expectation, someone: Someone, refused: str | None, events: list[Event]
) -> list[Compared]:
    """Everything that is expected. Raises `Mistake` for names that mean nothing."""
    found = []
    if refused is not None or wanted.refused is not None:
        found.append(Compared("refused", wanted.refused or "no", refused or "no"))
    found += _buckets(stage, someone.name, wanted)
    for name, buckets in wanted.others().items():
        found += _buckets(stage, name, buckets)
    found += [_granted(stage, someone, name, points) for name, points in wanted.granted.items()]
    for name, reason in wanted.reason.items():
        claim = stage.claim(name, someone, "expect", "reason", name)
        found.append(Compared(f"{name} has nothing because", reason, claim.reason or "no reason"))
    for name, state in wanted.coupons.items():
        found.append(Compared(f"coupon {name}", state, stage.coupon(name, "expect", "coupons", name).state))
    found += [_progress(stage, someone, name, value) for name, value in wanted.challenge.items()]
    if wanted.events is not None:
        found.append(Compared("events", _list(wanted.events), _list([event_name(event) for event in events])))
    if wanted.runs_out is not None:
        expected = {day: points for day, points in wanted.runs_out.items() if points}
        found.append(Compared("runs out", _pairs(expected), _pairs(_runs_out(stage, someone))))
    return found


def _buckets(stage: Stage, name: str, wanted: Buckets) -> list[Compared]:
    given = wanted.given()
    if given is None:
        return []
    return [Compared(name if len(stage.people) > 1 else "", shown(given), shown(balances(stage, name)))]


def _granted(stage: Stage, someone: Someone, name: str, wanted: int | dict[str, int]) -> Compared:
    claim = stage.claim(name, someone, "expect", "granted", name)
    granted = {rule: points for rule, points in sorted(claim.granted.items()) if points}
    if isinstance(wanted, int):
        return Compared(f"{name} has", str(wanted), str(sum(granted.values())))
    expected = {rule: points for rule, points in sorted(wanted.items()) if points}
    return Compared(f"{name} has", _pairs(expected), _pairs(granted))


def _progress(stage: Stage, someone: Someone, name: str, wanted: int | Progress) -> Compared:
    known = {item.id for item in stage.program.challenges}
    known |= {item.id for event in stage.ledger.world.programs for item in event.document.challenges}
    if name not in known:
        raise Mistake(f"the program has no challenge {name!r}", "expect", "challenge", name)
    tally = count_challenge(stage.ledger.world, stage.account(someone.name).member_id, name)
    got = {"progress": tally.progress, "reached": len(tally.reaches), "target": tally.target}
    if isinstance(wanted, int):
        return Compared(f"challenge {name}", str(wanted), str(tally.progress))
    asked = {key: value for key, value in wanted.model_dump().items() if key in wanted.model_fields_set}
    return Compared(f"challenge {name}", _pairs(asked), _pairs({key: got[key] for key in asked}))


def _runs_out(stage: Stage, someone: Someone) -> dict[str, int]:
    """Spendable points by the last day on which they are."""
    found: dict[str, int] = {}
    lots = [lot for lot in stage.account(someone.name).lots.values() if lot.state == "active" and lot.remaining]
    for lot in sorted(lots, key=lambda lot: lot.consumed_before()):
        last = lot.expires_at - timedelta(seconds=1) if lot.expires_at else None
        day = local(last, stage.zone)[:10] if last else "never"
        found[day] = found.get(day, 0) + lot.remaining
    return found


def event_name(event: Event) -> str:
    """`points.granted` for the wire's `loyalty.points.granted.v1`."""
    return re.sub(r"^loyalty\.|\.v\d+$", "", event.TYPE)


def _list(names: list[str]) -> str:
    return ", ".join(names) or "none"


def _pairs(values: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items()) or "nothing"
