"""What happens in the shop: seeded orders of seeded people, with everything that makes life hard for a receiver."""

import json
import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from .orders import CATALOGUE, GIFT_CARD, Back, Item, Order
from .people import Person, population

MEMBERS = 300
FRIENDS = 30
"""People who buy first in the second act, with the code of a member."""
ORDERS = 490


@dataclass(frozen=True)
class Delivery:
    """A webhook. A repeat has the id and the body of the first."""

    topic: str
    body: bytes
    webhook_id: str
    forged: bool = False


@dataclass
class Story:
    """Two acts of webhooks, in the order in which they are sent, and what the shop knows at the end."""

    people: list[Person]
    first: list[Delivery] = field(default_factory=list)
    orders: list[Order] = field(default_factory=list)
    forged: Order | None = None
    friends: dict[int, Person] = field(default_factory=dict)
    """By the friend's number, the advocate whose code the first order carries."""


class Author:
    """Writes the story; the same seed and moment write the same one."""

    def __init__(self, seed: int, now: datetime) -> None:
        self._rng = random.Random(seed)
        self._now = now.replace(microsecond=0)
        self._count = 0
        self.story = Story(population(self._rng, MEMBERS, self._now))

    def first_act(self) -> list[Delivery]:
        """Everybody but the friends; the guests register at the end of it."""
        people = self.story.people
        buyers = people[FRIENDS:]
        groups = [[self._customer(person, "customers/create")] for person in buyers if not person.guest]
        lives = [self._life(self._order(self._rng.choice(buyers))) for _ in range(ORDERS - FRIENDS)]
        late = [[self._customer(person, "customers/create")] for person in buyers if person.guest]
        self.story.forged = self._forged(buyers[0])
        forged = self._delivery("orders/paid", self.story.forged.payload(), forged=True)
        sent = self._mixed([*groups, *lives]) + [delivery for group in late for delivery in group]
        sent.insert(len(sent) // 2, forged)
        return sent

    def advocates(self) -> list[Person]:
        """Who will bring the friends: members with an account."""
        known = [person for person in self.story.people[FRIENDS:] if person.account]
        return self._rng.sample(known, FRIENDS)

    def second_act(self, codes: dict[int, str]) -> list[Delivery]:
        """The friends' first orders. `codes`: by the advocate's number, what they share."""
        friends = self.story.people[:FRIENDS]
        groups = []
        for friend, (number, code) in zip(friends, sorted(codes.items()), strict=False):
            self.story.friends[friend.number] = next(who for who in self.story.people if who.number == number)
            order = self._order(friend, days_ago=(1, 60), lines=(2, 4))
            if self._rng.random() < 0.5:
                order.attributes["referral_code"] = code
            else:
                order.codes = (code,)
            groups.append([self._customer(friend, "customers/create"), *self._life(order)])
        return self._mixed(groups)

    def _order(self, buyer: Person, days_ago: tuple[int, int] | None = None, lines: tuple[int, int] = (1, 4)) -> Order:
        rng = self._rng
        self._count += 1
        days = days_ago or ((1, 80) if buyer.guest else (1, 280))
        placed_at = self._now - timedelta(days=rng.randint(*days), minutes=rng.randint(0, 1400))
        items = []
        for place in range(rng.randint(*lines)):
            title, price = rng.choice(CATALOGUE)
            quantity = rng.choices((1, 2, 3), (6, 3, 1))[0]
            discount = price * quantity // 10 if rng.random() < 0.15 else 0
            items.append(Item(self._count * 1000 + place, title, price, quantity, discount))
        if rng.random() < 0.04:
            items.append(Item(self._count * 1000 + 99, *GIFT_CARD, quantity=1, gift_card=True))
        order = Order(self._count, buyer, placed_at, tuple(items), test=days_ago is None and rng.random() < 0.02)
        self.story.orders.append(order)
        return order

    def _forged(self, buyer: Person) -> Order:
        order = self._order(buyer)
        self.story.orders.remove(order)
        order.status = "paid"
        return order

    def _life(self, order: Order) -> list[Delivery]:
        """Placed, mostly paid, mostly sent; some come back in parts, some are cancelled."""
        rng = self._rng
        told = [self._tell(order, "orders/create", minutes=0)]
        if rng.random() < 0.05:
            order.status = "voided"
            order.cancelled_at = order.placed_at + timedelta(hours=1)
            return [*told, self._tell(order, "orders/cancelled", minutes=60)]
        order.status = "paid"
        told.append(self._tell(order, "orders/paid", minutes=5))
        if rng.random() < 0.75:
            order.fulfilled_at = order.placed_at + timedelta(hours=8)
            told.append(self._tell(order, "orders/fulfilled", minutes=480))
        if rng.random() < 0.1:
            told.append(self._tell(order, "orders/updated", minutes=500))
        if rng.random() < 0.14 and order.number > FRIENDS:
            told += self._comes_back(order)
        return told

    def _comes_back(self, order: Order) -> list[Delivery]:
        """Refunds in one to three parts, never more than was bought; sometimes all of it with a cancellation."""
        rng = self._rng
        whole = rng.random() < 0.25
        told = []
        for part, item in enumerate(order.items if whole else order.items[: rng.randint(1, 3)]):
            quantity = item.quantity if whole else rng.randint(1, item.quantity)
            cents = item.net_cents * quantity // item.quantity
            at = order.placed_at + timedelta(hours=9, minutes=part)
            back = Back(order.order_id * 10 + part * 3, at, item, quantity, cents)
            order.refunds.append(back)
            told.append(self._delivery("refunds/create", order.refund(back)))
        if whole:
            order.cancelled_at = order.placed_at + timedelta(hours=10)
        order.status = "refunded" if whole else "partially_refunded"
        told.append(self._tell(order, "orders/cancelled" if whole else "orders/updated", minutes=601))
        return told

    def _tell(self, order: Order, topic: str, *, minutes: int) -> Delivery:
        order.updated_at = order.placed_at + timedelta(minutes=minutes)
        return self._delivery(topic, order.payload())

    def _customer(self, person: Person, topic: str) -> Delivery:
        return self._delivery(topic, person.record(state="enabled" if person.account or person.guest else None))

    def _delivery(self, topic: str, payload: dict[str, object], *, forged: bool = False) -> Delivery:
        webhook_id = f"{self._rng.getrandbits(64):016x}"
        return Delivery(topic, json.dumps(payload, ensure_ascii=False).encode(), webhook_id, forged)

    def _mixed(self, groups: Iterable[list[Delivery]]) -> list[Delivery]:
        """All groups side by side, as many shops' buyers are: now and then out of order, now and then twice."""
        rng = self._rng
        placed: list[tuple[float, Delivery]] = []
        for group in groups:
            start = rng.random()
            moments = sorted(start + rng.random() * 0.2 for _ in group)
            if rng.random() < 0.1:
                rng.shuffle(moments)
            for moment, delivery in zip(moments, group, strict=True):
                placed.append((moment, delivery))
                if rng.random() < 0.08:
                    placed.append((moment + rng.random() * 0.1, delivery))
        return [delivery for _, delivery in sorted(placed, key=lambda item: item[0])]
