"""Where a story is played: the real core in memory, and the names that the story gives to things."""

import hashlib
from datetime import datetime, timedelta
from uuid import UUID

from contracts.base import Event
from contracts.program import Program, ProgramBook, ProgramPublishedV1
from points_accrual.domain.account import Account
from points_accrual.domain.claims import Claim
from points_accrual.domain.coupons import Coupon
from points_accrual.domain.ledger import Ledger, member_id_of
from points_accrual.domain.lots import ClaimKey
from points_accrual.handlers import HANDLERS

from .facts import EditEntry, OrderEntry
from .orders import Draft, lines_of
from .parts import Entry
from .people import Deed, Someone, Standing
from .reading import Person, Story
from .units import Exchange, Mistake, moment


class Stage:
    """One performance of a story."""

    def __init__(self, story: Story) -> None:
        self.story, self.program, self.document = story, story.program, story.document
        self.zone = story.program.time_zone
        book = ProgramBook()
        book.add(published(story.program, story.program.effective_from))
        self.ledger = Ledger(book, story.program.id, HANDLERS)
        self.ledger.world.seeds = seeds_of(story)
        self.orders: dict[str, Draft] = {}
        self.deeds: dict[str, Deed] = {}
        self.named_deeds: dict[int, str] = {}
        """Activities by their place in the story."""
        self.coupons: dict[str, UUID] = {}
        self.claims: dict[str, ClaimKey] = {}
        self.people: dict[str, Someone] = {}
        self.prepared: dict[int, Event] = {}
        """Events of other services, by their place in the story: their versions are those of the story's order."""
        first = min(self.moment(entry) for entry in story.entries)
        for name, person in story.people.items():
            self._introduce(name, person, first)

    def _introduce(self, name: str, person: Person, first: datetime) -> None:
        """A member as the story begins; somebody who enrols later is a shopper until then."""
        someone = Someone(name, self.program.id, member_id_of(name))
        self.people[name] = someone
        later = any(getattr(entry, "enrol", None) == name for entry in self.story.entries)
        at = moment(person.enrolled, self.zone) if person.enrolled else first - timedelta(days=1)
        if person.birthday or person.attributes:
            someone.profile |= {"birthday": person.birthday, "attributes": person.attributes}
        enrolment = {} if later and not person.enrolled else {"status": "member", "enrolled_at": at}
        self.ledger.send(someone.member(at, **enrolment))
        if person.segments:
            self.ledger.send(someone.segments(at, person.segments))
        if person.tier:
            someone.standings.append(Standing(person.tier, at))
            self.ledger.send(someone.standing(at, self.lowest))

    @property
    def lowest(self) -> str:
        """The tier of everybody."""
        return self.program.tiers.levels[0].id

    @property
    def now(self) -> datetime:
        return self.ledger.world.now

    def moment(self, entry: Entry) -> datetime:
        """When an entry happens in the world."""
        at = getattr(entry, "time", None) or entry.at
        assert at is not None
        return moment(at, self.zone)

    def someone(self, entry: Entry) -> Someone:
        """Whose entry it is. Raises `Mistake`."""
        return self.named(entry.member or next(iter(self.people)), "member")

    def named(self, name: str, *path: str) -> Someone:
        """A member of the story. Raises `Mistake`."""
        if name not in self.people:
            raise Mistake(f"the story has no member {name!r} (known: {', '.join(self.people)})", *path)
        return self.people[name]

    def draft(self, name: str, field: str) -> Draft:
        """An order of the story, known already or not. Raises `Mistake`."""
        if name not in self.orders:
            placed = next((item for item in self.story.entries if getattr(item, "order", None) == name
                           and isinstance(item, OrderEntry)), None)  # fmt: skip
            if placed is None:
                raise Mistake(f"the story has no order {name!r}", field)
            member = self.someone(placed)
            self.orders[name] = Draft(
                name, self.program.id, member.member_id, placed.source, self.program.currency, self.zone
            )
            self.claims[name] = ClaimKey("order", self.orders[name].claim_id)
        return self.orders[name]

    def lines_of(self, name: str) -> set[str]:
        """All lines that an order of the story ever has."""
        exchange = Exchange(self.program.currency, self.program.currency)
        found: set[str] = set()
        for entry in self.story.entries:
            if isinstance(entry, OrderEntry) and entry.order == name:
                exchange = Exchange(entry.currency or exchange.shop, exchange.presentment)
                found |= {line.line_id for line in lines_of(entry.lines, exchange)}
            elif isinstance(entry, EditEntry) and entry.edit == name:
                found |= {line.line_id for line in lines_of(entry.add, exchange)}
        return found

    def deed(self, name: str, field: str) -> Deed:
        """An activity of the story. Raises `Mistake`."""
        if name not in self.deeds:
            raise Mistake(f"the story has no activity {name!r}", field)
        return self.deeds[name]

    def codes(self) -> dict[str, str]:
        """The codes of coupons, by the names that the story has for them."""
        names = [*self.coupons, *(gift for gift, _ in self.gifts())]
        found = {name: self.coupon(name, "discount_codes").code for name in names}
        return {name: code for name, code in found.items() if code}

    def coupon(self, name: str, *path: str) -> Coupon:
        """A coupon by its name; those of challenges are called `challenge:1`. Raises `Mistake`."""
        coupon_id = self.coupons.get(name) or next((item for gift, item in self.gifts() if gift == name), None)
        if coupon_id is None:
            raise Mistake(f"no coupon was called {name!r} so far", *path)
        return self.ledger.world.coupons[coupon_id]

    def gifts(self) -> list[tuple[str, UUID]]:
        """Coupons that challenges gave."""
        return [
            (f"{claim.detail['challenge']}:{claim.detail['number']}", UUID(claim.detail["coupon_id"]))
            for claim in self.ledger.claims()
            if claim.detail.get("coupon_id")
        ]

    def account(self, name: str) -> Account:
        """The account of a member, or of whoever took it over."""
        return self.ledger.account(self.people[name].member_id)

    def claim(self, name: str, whose: Someone, *path: str) -> Claim:
        """What points were given for: an order, an activity, `advocate` or `friend`, `challenge:1`, `birthday:2026`.

        Raises `Mistake`.
        """
        key = self.claims.get(name)
        world = self.ledger.world
        if key is not None and (self.program.id, key) in world.claims:
            return world.claims[self.program.id, key]
        for claim in self.ledger.claims(whose.member_id):
            if claim.key.id.partition(":")[2] == name and claim.key.kind in ("date", "challenge", "import"):
                return claim
        raise Mistake(f"nothing is known of {name!r} so far", *path)


def published(program: Program, at: datetime) -> ProgramPublishedV1:
    """The event that publishes a version."""
    return ProgramPublishedV1(
        program_id=program.id, version=program.version, hash=program.hash(), published_at=at, document=program
    )


def seeds_of(story: Story) -> dict[str, bytes]:
    """The story's seeds, by the commitments that its program published for them."""
    seeds = [bytes.fromhex(seed) for seed in story.told.seeds]
    return {hashlib.sha256(seed).hexdigest(): seed for seed in seeds}
