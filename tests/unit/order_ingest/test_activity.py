"""What an activity is, whoever tells it again and in whatever words."""

from typing import Any

import pytest

from contracts.commerce import ActivityReport, ActivityReportedV1
from order_ingest.domain.activity import content_of

TOLD: dict[str, Any] = {
    "source": "shop", "activity_id": "rev-1", "kind": "review", "occurred_at": "2026-11-20T10:00:00Z",
    "customer": {"customer_id": "c-1", "email": "ada@example.com"}, "attributes": {"stars": "5", "a": "b"},
}  # fmt: skip


def content(**fields: Any) -> str:
    return content_of(ActivityReport.model_validate(TOLD | fields)).hex()


def test_the_same_content_has_the_same_hash_for_ever() -> None:
    """It is stored: fields that came since must not turn what was told before into something else."""
    assert content() == "7e6e747b52447aa0e961cbf258479450de8cf0827f148343a04f5d966c0c8f81"


def test_an_activity_undone_is_the_same_activity() -> None:
    assert content(revoked_at="2026-11-21T10:00:00Z") == content()
    assert content(attributes={"a": "b", "stars": "5"}, occurred_at="2026-11-20T14:00:00+04:00") == content()
    assert content_of(ActivityReportedV1.model_validate(TOLD | {"program_id": "aurora"})).hex() == content()


@pytest.mark.parametrize(
    "fields", [{"kind": "visit"}, {"customer": {"customer_id": "c-2"}}, {"object_id": "1"},
               {"customer": TOLD["customer"] | {"birthday": "12-10"}}], ids=str,
)  # fmt: skip
def test_other_content_is_another(fields: dict[str, Any]) -> None:
    assert content(**fields) != content()
