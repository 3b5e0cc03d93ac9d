"""Activities are told once, and may be undone once: what is said again must be the same but for that."""

import hashlib
import json

from contracts.commerce import ActivityReport


def content_of(report: ActivityReport) -> bytes:
    """SHA-256 of what a report says happened, however its attributes are ordered and whoever carried it.

    It is kept for ever, so a field that came later counts only where it is said.
    """
    told = report.model_dump(mode="json", include=set(ActivityReport.model_fields) - {"revoked_at"})
    if told["customer"]["birthday"] is None:
        del told["customer"]["birthday"]
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).digest()
