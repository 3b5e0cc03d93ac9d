"""Turns a stored message into an e-mail: subject, HTML with inlined styles, and plain text."""

import json
from dataclasses import dataclass
from pathlib import Path

from css_inline import CSSInliner
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from contracts.program import Program

from .words import Words, choose_locale, tidy_name

TEMPLATES = Path(__file__).parent / "templates"
_OPTIONS = {
    "loader": FileSystemLoader(TEMPLATES),
    "undefined": StrictUndefined,
    "trim_blocks": True,
    "lstrip_blocks": True,
}
_HTML = Environment(autoescape=True, **_OPTIONS)  # type: ignore[arg-type]
_TEXT = Environment(autoescape=False, **_OPTIONS)  # type: ignore[arg-type]  # noqa: S701 - plain text, not HTML
_INLINE = CSSInliner(keep_at_rules=True, load_remote_stylesheets=False)


@dataclass(frozen=True, slots=True)
class Mail:
    """What a member reads."""

    locale: str
    subject: str
    html: str
    text: str


def render(
    template: str,
    parameters: str,
    program: Program,
    *,
    locale: str | None,
    first_name: str | None,
    referral_code: str | None,
    opt_out_url: str,
) -> Mail:
    """The mail of a message in the member's language. Raises if a text or parameter is missing: that is our mistake."""
    chosen = choose_locale(locale, program.messages.default_locale)
    context = {
        "p": json.loads(parameters),
        "program": program,
        "name": tidy_name(first_name),
        "referral_code": referral_code,
        "opt_out_url": opt_out_url,
    }
    plain = Words(chosen, program, html=False)
    text = _TEXT.get_template(f"{template}.txt").render(context, w=plain)
    subject, _, body = text.partition("\n")
    html = _HTML.get_template(f"{template}.html").render(context, w=Words(chosen, program, html=True), subject=subject)
    return Mail(str(chosen), subject.strip(), _INLINE.inline(html), body.strip() + "\n")


def opt_out_page(program: Program, locale: str | None, *, done: bool) -> str:
    """The small page behind the opt-out link, before or after."""
    chosen = choose_locale(locale, program.messages.default_locale)
    page = _HTML.get_template("opt_out_page.html")
    return page.render(w=Words(chosen, program, html=True), program=program, done=done)
