"""Segments of a member: whole at each version, published when they change."""

from datetime import UTC, datetime
from uuid import UUID

from console.domain.segments import Person

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def test_segments_are_replaced_whole_and_rise_by_version() -> None:
    person = Person(UUID(int=7), "aurora")
    first = person.assign(["vip", "loyal", "vip"], now=NOW, by="ann")
    assert first is not None
    assert (first.version, first.segments) == (1, ("loyal", "vip"))
    assert person.assign(["loyal", "vip"], now=NOW, by="bob") is None
    second = person.assign([], now=NOW, by="bob")
    assert second is not None
    assert (second.version, second.segments, person.changed_by) == (2, (), "bob")


def test_an_older_profile_changes_nothing() -> None:
    person = Person(UUID(int=7), "aurora")
    person.learn(3, "member")
    person.learn(2, "shopper")
    assert (person.profile_version, person.status) == (3, "member")
