"""Programs, orders and profiles for the tests of referral."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

from contracts.members import MemberChangedV1
from contracts.orders import Amount, Fingerprints, OrderChangedV1, OrderLine, PaymentState, Refund, RefundLine
from contracts.program import (
    Earning,
    Level,
    Messages,
    Point,
    Program,
    ProgramBook,
    ProgramPublishedV1,
    Referral,
    SpendRule,
    Tiers,
)

T0 = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
ADVOCATE, OTHER, FRIEND = UUID(int=1), UUID(int=2), UUID(int=3)
CODES = {ADVOCATE: "ADV0CATE", OTHER: "0THER123", FRIEND: "FR1END00"}
MINIMUM = 5000


def program(*, version: int = 1, referral: bool = True, effective_from: datetime = T0 - 9000 * HOUR) -> Program:
    return Program(
        id="aurora",
        version=version,
        name={"en": "Aurora"},
        currency="EUR",
        zone="Asia/Baku",
        effective_from=effective_from,
        point=Point(name={"en": "points"}, value_minor=Decimal(1)),
        earning=Earning(rules=(SpendRule(type="spend", id="spend", points_per_unit=Decimal(1)),)),
        tiers=Tiers(levels=(Level(id="basic", name={"en": "Basic"}, threshold=0),)),
        referral=Referral(minimum_minor=MINIMUM, advocate_points=500, friend_points=200) if referral else None,
        messages=Messages(sender_name="Aurora", shop_url="https://shop.example/?utm=laurel"),
    )


def published(document: Program) -> ProgramPublishedV1:
    return ProgramPublishedV1(
        program_id=document.id,
        version=document.version,
        hash=document.hash(),
        published_at=document.effective_from,
        document=document,
    )


def book(*documents: Program) -> ProgramBook:
    programs = ProgramBook()
    for document in documents:
        programs.add(published(document))
    return programs


def profile(
    member_id: UUID, *, version: int = 1, status: str = "member", email: str | None = None, program_id: str = "aurora"
) -> MemberChangedV1:
    return MemberChangedV1.model_validate(
        {
            "program_id": program_id,
            "member_id": member_id,
            "version": version,
            "status": status,
            "seen_at": T0 - HOUR,
            "enrolled_at": T0 if status == "member" else None,
            "email_fingerprint": email,
            "recorded_at": T0,
        }
    )


def amount(minor: int) -> Amount:
    return Amount(shop_minor=minor, presentment_minor=minor)


def refund(refund_id: str, minor: int) -> Refund:
    line = RefundLine(line_id="1", quantity=1, subtotal=amount(minor))
    return Refund(refund_id=refund_id, occurred_at=T0 + HOUR, lines=(line,))


def order(
    member_id: UUID, order_id: str, *, at: int = 0, minor: int = 8000, revision: int = 1, code: str | None = None,
    attribute: str | None = None, payment: PaymentState = "paid", cancelled: bool = False, test: bool = False,
    refunds: tuple[Refund, ...] = (), currency: str = "EUR", program_id: str = "aurora",
    prints: dict[str, str] | None = None,
) -> OrderChangedV1:  # fmt: skip
    """Placed `at` hours after T0; `prints` are fingerprints."""
    placed_at = T0 + at * HOUR
    return OrderChangedV1(
        program_id=program_id,
        member_id=member_id,
        source="shop",
        order_id=order_id,
        revision=revision,
        currency=currency,
        presentment_currency=currency,
        placed_at=placed_at,
        paid_at=placed_at if payment == "paid" else None,
        cancelled_at=placed_at + HOUR if cancelled else None,
        updated_at=placed_at + revision * HOUR,
        payment=payment,
        test=test,
        lines=(OrderLine(line_id="1", quantity=4, gross=amount(minor)),),
        subtotal=amount(minor),
        total=amount(minor),
        discount_codes=(code,) if code else (),
        attributes={"referral_code": attribute} if attribute else {},
        refunds=refunds,
        recorded_at=placed_at + revision * HOUR,
        fingerprints=Fingerprints.model_validate(prints or {}),
    )
