"""The demo's story: the same for a seed, readable by the adapter, and hard enough to prove something."""

from collections import Counter
from datetime import UTC, datetime

import pytest

from contracts.commerce import OrderReport
from laurel.demo.story import FRIENDS, Author, Delivery
from order_ingest.domain.shopify import read

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def written(seed: int) -> tuple[Author, list[Delivery], list[Delivery]]:
    author = Author(seed, NOW)
    first = author.first_act()
    codes = {person.number: f"CODE{person.number}" for person in author.advocates()}
    return author, first, author.second_act(codes)


@pytest.fixture(scope="module")
def story() -> tuple[Author, list[Delivery], list[Delivery]]:
    return written(7)


def test_a_seed_is_a_story(story: tuple[Author, list[Delivery], list[Delivery]]) -> None:
    _, first, second = story
    assert written(7)[1:] == (first, second)
    assert written(8)[1] != first


def test_it_holds_what_makes_life_hard(story: tuple[Author, list[Delivery], list[Delivery]]) -> None:
    author, first, second = story
    deliveries = [*first, *second]
    assert 1800 <= len(deliveries) <= 2200
    assert sum(delivery.forged for delivery in deliveries) == 1
    repeats = sum(count > 1 for count in Counter(delivery.webhook_id for delivery in deliveries).values())
    assert repeats > 50
    orders = author.story.orders
    assert sum(len(order.refunds) > 1 for order in orders) > 10, "refunds in parts"
    assert sum(order.buyer.guest for order in orders) > 10
    assert len(author.story.friends) == FRIENDS
    assert early_refunds(first) > 0, "refunds that come before any word of their order's payment"


def early_refunds(deliveries: list[Delivery]) -> int:
    paid: set[str] = set()
    early = 0
    for delivery in deliveries:
        report = read(delivery.body, "demo-shop")
        order_id = getattr(report, "order_id", "")
        if delivery.topic == "orders/paid":
            paid.add(order_id)
        elif delivery.topic == "refunds/create" and order_id not in paid:
            early += 1
    return early


def test_the_adapter_reads_every_payload(story: tuple[Author, list[Delivery], list[Delivery]]) -> None:
    _, first, second = story
    for delivery in [*first, *second]:
        report = read(delivery.body, "demo-shop")
        assert isinstance(report, OrderReport) == delivery.topic.startswith("orders/")


def test_nothing_happens_after_now_nor_too_long_ago(story: tuple[Author, list[Delivery], list[Delivery]]) -> None:
    for order in story[0].story.orders:
        assert order.updated_at is not None
        assert order.placed_at <= order.updated_at <= NOW
        assert (NOW - order.placed_at).days < 365
        assert 0 <= order.base_cents <= order.subtotal_cents
