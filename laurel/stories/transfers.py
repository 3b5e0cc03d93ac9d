"""Every transfer of a story as one readable line."""

from dataclasses import dataclass, field
from uuid import UUID

from points_accrual.domain.account import Posting
from points_accrual.domain.lots import ClaimKey

from .stage import Stage
from .units import local

HEADER = "when              member    from         to           points  rule              claim            lot"


@dataclass(slots=True)
class Journal:
    """Collects the transfers that each entry of a story makes, in the order in which they are posted."""

    seen: dict[UUID, int] = field(default_factory=dict)
    """By account, how many decisions were read."""
    lots: dict[UUID, str] = field(default_factory=dict)
    """How lots are called: by their claim."""

    def news(self, stage: Stage) -> list[str]:
        """The lines of all transfers since the last call."""
        world = stage.ledger.world
        for account in world.accounts.values():
            for lot in account.lots.values():
                name = claim_name(stage, lot.claim) + (f"/{lot.terms}" if lot.terms else "")
                self.lots.setdefault(lot.lot_id, name)
        lines = []
        for name, someone in stage.people.items():
            account = world.accounts[someone.member_id]
            decisions = account.decisions[self.seen.get(someone.member_id, 0) :]
            self.seen[someone.member_id] = len(account.decisions)
            lines += [self._line(stage, name, posting) for item in decisions for posting in item.postings]
        return lines

    def _line(self, stage: Stage, member: str, posting: Posting) -> str:
        claim = claim_name(stage, posting.claim) if posting.claim else "-"
        lot = self.lots.get(posting.lot_id, "?") if posting.lot_id else "-"
        if posting.uses and not posting.lot_id:
            lot = " + ".join(f"{self.lots.get(lot_id, '?')} {points}" for lot_id, points in posting.uses)
        when = local(posting.effective_at, stage.zone)
        return (
            f"{when:<17} {member:<9} {posting.debit:<12} {posting.credit:<12} {posting.points:>6}  "
            f"{posting.rule_id or '-':<17} {claim:<16} {lot}"
        ).rstrip()


def claim_name(stage: Stage, key: ClaimKey) -> str:
    """A claim as the story calls it."""
    for name, known in stage.claims.items():
        if known == key:
            return name
    named = key.id.partition(":")[2] if key.kind in ("date", "challenge", "import") else ""
    return named or key.kind
