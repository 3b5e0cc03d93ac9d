"""The shop's customers."""

import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

_NAMES = {
    "en": (
        ("Ava", "Noah", "Mia", "Liam", "Zoe", "Owen", "Ruby", "Ethan", "Clara", "Jack"),
        ("Walker", "Reed", "Hughes", "Bennett", "Foster", "Price", "Morgan", "Ellis", "Hayes", "Ward"),
    ),
    "ar": (
        ("ليلى", "عمر", "مريم", "يوسف", "سارة", "خالد", "نور", "حسن", "هدى", "كريم"),
        ("حداد", "منصور", "الخطيب", "نجار", "سالم", "عباس", "فارس", "قاسم", "زيدان", "شاهين"),
    ),
    "az": (
        ("Aysel", "Elvin", "Günel", "Orxan", "Nigar", "Tural", "Səbinə", "Rəşad", "Lalə", "Vüsal"),
        (
            "Əliyev",
            "Məmmədov",
            "Hüseynov",
            "Quliyev",
            "Həsənov",
            "Babayev",
            "Rzayev",
            "Kərimov",
            "İsmayılov",
            "Abbasov",
        ),
    ),
}


@dataclass(frozen=True)
class Person:
    """A customer. `account`: registered at `since`. A guest buys without one and registers at the end."""

    number: int
    email: str
    first_name: str
    last_name: str
    locale: str
    since: datetime
    account: bool
    guest: bool

    @property
    def customer_id(self) -> int:
        return 7_000_000_000_000 + self.number

    def record(self, *, state: str | None = None) -> dict[str, Any]:
        """The customer as Shopify tells it."""
        return {
            "id": self.customer_id,
            "email": self.email,
            "verified_email": True,
            "state": state or ("enabled" if self.account else "disabled"),
            "first_name": self.first_name,
            "last_name": self.last_name,
            "created_at": self.since.isoformat(),
            "updated_at": self.since.isoformat(),
            "locale": self.locale,
            "currency": "USD",
            "tags": "",
            "tax_exempt": False,
            "email_marketing_consent": {"state": "subscribed", "opt_in_level": "single_opt_in"},
            "admin_graphql_api_id": f"gid://shopify/Customer/{self.customer_id}",
        }


def population(rng: random.Random, count: int, now: datetime) -> list[Person]:
    """So many people: seven in ten with an account, one in ten a guest who registers later, the rest without."""
    people = []
    for number in range(1, count + 1):
        locale = rng.choices(("en", "ar", "az"), (5, 3, 2))[0]
        firsts, lasts = _NAMES[locale]
        kind = rng.random()
        guest = kind < 0.1
        # Guests register last of all, so that their orders are there before them.
        since = now - (timedelta(minutes=rng.randint(5, 50)) if guest else timedelta(days=rng.randint(300, 340)))
        people.append(
            Person(
                number, f"shopper{number:03}@example.com", rng.choice(firsts), rng.choice(lasts), locale,
                since.replace(microsecond=0), account=kind > 0.3, guest=guest,
            )
        )  # fmt: skip
    return people
