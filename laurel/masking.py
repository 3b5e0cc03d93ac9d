"""JSON for an operator's eyes: whose it is and what is as good as money stays hidden, the shape stays readable."""

import json
import re
from typing import Any

HIDDEN = re.compile(r"(^|_)(email|phone|code|codes|secret|token|ip|zip|city|address\d?|name|birthday|attributes)(_|$)")
_EMAIL = re.compile(r"[^\s@\"'<>]+@[^\s@\"'<>]+")


def masked(raw: bytes | None) -> str:
    """The JSON with texts of e-mails, names, addresses and codes masked; what is no JSON is told by its size alone."""
    if raw is None:
        return "nothing (a tombstone)"
    try:
        return json.dumps(_hide(json.loads(raw), hidden=False), indent=2, ensure_ascii=False)
    except ValueError:
        return f"{len(raw)} bytes that are not JSON"


def masked_text(text: str) -> str:
    """A sentence, such as an error's, without the addresses that it may quote."""
    return _EMAIL.sub("***@***", text)


def _hide(value: Any, *, hidden: bool) -> Any:
    if isinstance(value, dict):
        return {
            key: _hide(item, hidden=hidden or HIDDEN.search(key.lower()) is not None) for key, item in value.items()
        }
    if isinstance(value, list):
        return [_hide(item, hidden=hidden) for item in value]
    if isinstance(value, str):
        return "***" if hidden else masked_text(value)
    return "***" if hidden and value is not None and not isinstance(value, bool) else value
