"""Who it was: a customer id within a source, or an e-mail address, leads to one member."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from contracts.commerce import Customer


@dataclass(frozen=True, order=True, slots=True)
class IdentityKey:
    """What a shop calls a person. E-mail addresses belong to the whole program: their source is empty."""

    program_id: str
    kind: Literal["customer", "email"]
    source: str
    value: str


@dataclass(frozen=True, slots=True)
class Person:
    """A person as one fact names them. `email` is trimmed and in lower case."""

    program_id: str
    source: str
    customer_id: str | None
    email: str | None
    verified: bool

    @classmethod
    def of(cls, program_id: str, source: str, customer: Customer) -> "Person":
        email = customer.email.strip().lower() if customer.email else None
        return cls(program_id, source, customer.customer_id, email, customer.email_verified)

    @property
    def customer_key(self) -> IdentityKey | None:
        if self.customer_id is None:
            return None
        return IdentityKey(self.program_id, "customer", self.source, self.customer_id)

    @property
    def email_key(self) -> IdentityKey | None:
        """The address, where it may lead to a member: an account's only once the shop has verified it."""
        if self.email is None or (self.customer_id is not None and not self.verified):
            return None
        return IdentityKey(self.program_id, "email", "", self.email)

    @property
    def is_nobody(self) -> bool:
        """Whether nothing was said of who it was."""
        return self.customer_id is None and self.email is None

    @property
    def keys(self) -> tuple[IdentityKey, ...]:
        """All that may lead to the member; to be locked before anything is decided."""
        return tuple(key for key in (self.customer_key, self.email_key) if key is not None)


Address = tuple[str, datetime]
"""Where somebody is, in lower case, and when that was told."""


TICK = timedelta(microseconds=1)


def claimed_since(now: datetime, led_elsewhere_since: datetime | None) -> datetime:
    """Since when an address leads to who claims it now: later than it led to anybody else."""
    return now if led_elsewhere_since is None else max(now, led_elsewhere_since + TICK)


@dataclass(frozen=True, slots=True)
class Resolution:
    """The member, and the keys that lead to it from now on. `clash`: another member holds the verified address."""

    member_id: UUID
    claims: tuple[IdentityKey, ...] = ()
    clash: bool = False


def resolve(
    person: Person,
    told_at: datetime,
    owners: Mapping[IdentityKey, UUID],
    sources_of: Callable[[UUID], frozenset[str]],
    address_of: Callable[[UUID], Address | None],
    fresh: UUID,
) -> Resolution:
    """Which member a person is, as a fact names them that was told at a time.

    `owners` holds what the person's keys lead to so far; `sources_of` says where a member has a customer id already,
    `address_of` at which address they are now, and when that was told; `fresh` is the id of the new member, should
    there be one. An address leads to a member when the shop verified it or when a guest ordered by it; an account with
    an unverified address is a person of its own, since anybody can type an address. Who moved to another address gives
    the former one up to the account of the same shop that has it verified after that, unless that account is known to
    have moved on since. Two members found to be one stay two: uniting them is another step.
    """
    customer, email = person.customer_key, person.email_key
    known = owners.get(customer) if customer else None
    holder = owners.get(email) if email else None
    if holder is not None and holder != known and customer and person.source in sources_of(holder):
        left, now = address_of(holder), address_of(known) if known else None
        has_left = left is not None and left[0] != person.email and left[1] < told_at
        has_moved_on = now is not None and now[0] != person.email and now[1] > told_at
        holder = None if has_left and not has_moved_on else holder
    if known is not None:
        claims: tuple[IdentityKey, ...] = (email,) if email is not None and holder is None else ()
        return Resolution(known, claims, clash=holder not in (None, known))
    if holder is not None and (customer is None or person.source not in sources_of(holder)):
        return Resolution(holder, (customer,) if customer else ())
    claims = tuple(key for key in (customer, email if holder is None else None) if key is not None)
    return Resolution(fresh, claims, clash=holder is not None)
