"""A program, and what messages of each template are made of."""

import json
from pathlib import Path

from contracts.program import Program
from notification.render import Mail, render

ROOT = Path(__file__).parents[3]
LOCALES = ("en", "ar", "az")
PARAMETERS: dict[str, dict[str, object]] = {
    "welcome": {},
    "points_earned": {
        "points": 250,
        "active": 1200,
        "pending": 253,
        "activates_at": "2026-12-07T22:00:00+00:00",
        "bought": True,
    },
    "tier_reached": {"tier_id": "silver"},
    "referral_rewarded": {"points": 500, "active": 3, "pending": 2, "activates_at": None, "role": "advocate"},
    "points_expiring": {"points": 40, "active": 1200, "expires_at": "2026-12-31T20:00:00+00:00"},
    "challenge_completed": {"challenge_id": "three-reviews", "points": 60},
    "coupon": {
        "reward_id": "five-off",
        "kind": "money_off",
        "code": "7K3M9QW2XHTB",
        "value_minor": 500,
        "currency": "USD",
        "minimum_order_minor": 2000,
        "points": 500,
        "expires_at": "2027-02-21T10:00:00+00:00",
    },
}
LINK = "https://loyalty.example.com/v1/opt-out/abc"


def program(**messages: object) -> Program:
    from console.document import check

    aurora, findings = check((ROOT / "programs" / "aurora.yaml").read_text("utf-8"))
    assert aurora is not None, findings
    shown = aurora.messages.model_copy(update={"shop_url": "https://shop.example.com/", **messages})
    return aurora.model_copy(update={"messages": shown})


def mail(
    template: str,
    locale: str | None,
    *,
    first_name: str | None = "Emily",
    referral_code: str | None = "EMILY7K3",
    of: Program | None = None,
    **changes: object,
) -> Mail:
    return render(
        template,
        json.dumps(PARAMETERS[template] | changes),
        of or program(),
        locale=locale,
        first_name=first_name,
        referral_code=referral_code,
        opt_out_url=LINK,
    )
