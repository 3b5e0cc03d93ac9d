"""A delivery for people to look at: its shape and its money, without personal data unless they ask for it."""

import json
import re
from decimal import Decimal
from typing import Any

from .facts import PayloadError
from .payload import load

_SHOWN = re.compile(
    r"(.*_)?(id|at|minor|price|amount|subtotal|tax|total|quantity|currency|currency_code|status|kind|rate|version)"
    r"|(total|subtotal)_.*|state|test|sku|source|source_name|type|payment|gateway|taxes_included|verified|enrol|outcome|finalized_on"
)
_MASK = "•••"


def masked(body: bytes) -> str:
    """The JSON with every text and fraction hidden but those of fields known to be harmless; lengths are not kept."""
    try:
        data = load(body)
    except PayloadError as error:
        return f"{len(body)} bytes that cannot be shown without personal data: {error}"
    return json.dumps(_masked(data, shown=False), indent=2, ensure_ascii=False)


def _masked(value: Any, *, shown: bool) -> Any:
    if isinstance(value, dict):
        return {key: _masked(item, shown=_SHOWN.fullmatch(key) is not None) for key, item in value.items()}
    if isinstance(value, list):
        return [_masked(item, shown=shown) for item in value]
    if value is None or isinstance(value, bool):
        return value
    if not shown:
        return _MASK
    return str(value) if isinstance(value, Decimal) else value
