"""Activities are told once: what is said again must be the same."""

import hashlib
import json

from contracts.commerce import ActivityReport


def content_of(report: ActivityReport) -> bytes:
    """SHA-256 of what a report says, however its attributes are ordered and whoever carried it."""
    told = report.model_dump(mode="json", include=set(ActivityReport.model_fields))
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).digest()
