"""Every mail in every language: nothing missing, everything escaped, the right way round."""

import re
from html.parser import HTMLParser
from typing import Any

import pytest
from babel import Locale
from jinja2 import UndefinedError

from notification import words
from notification.words import Words, catalogue, choose_locale, tidy_name

from .samples import LINK, LOCALES, PARAMETERS, mail, program

ALL = [(template, locale) for template in PARAMETERS for locale in LOCALES]


class Texts(HTMLParser):
    """What a reader of the page sees, and its tags."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize(("template", "locale"), ALL)
def test_every_mail_says_everything_in_both_parts(template: str, locale: str) -> None:
    made = mail(template, locale)
    seen = Texts(made.html).text
    assert made.locale == locale
    assert made.subject
    assert "\n" not in made.subject
    assert LINK in made.text
    assert f'href="{LINK}"' in made.html
    for part in (seen, made.text):
        assert catalogue(locale)["opt_out"] in part
    assert not re.search(r"[{}]", made.text + made.subject)
    assert f'lang="{locale}"' in made.html


@pytest.mark.parametrize(("template", "locale"), ALL)
def test_styles_are_inlined_and_dark_mode_stays(template: str, locale: str) -> None:
    html = mail(template, locale).html
    assert re.search(r'<h1 style="[^"]*font-size', html)
    assert "@media (prefers-color-scheme: dark)" in html
    assert "<link" not in html
    assert "<img" not in html


@pytest.mark.parametrize("template", PARAMETERS)
def test_arabic_runs_from_right_to_left(template: str) -> None:
    html = mail(template, "ar").html
    assert '<html lang="ar" dir="rtl"' in html
    assert re.search(r'<body dir="rtl"', html)
    assert "text-align: right" in html
    assert 'dir="ltr"' in mail(template, "en").html


def test_languages_have_the_same_texts_with_the_same_places() -> None:
    english = catalogue("en")
    for language in LOCALES:
        texts = catalogue(language)
        assert texts.keys() == english.keys()
        for key, text in texts.items():
            assert text.strip(), key
        if language != "en":
            differing = {key for key in english if fields(texts[key]) != fields(english[key])}
            # Azerbaijani greets without the program's name in the heading, and names it in the next sentence instead.
            assert differing <= {"welcome.heading", "welcome.body"}


def fields(text: str) -> set[str]:
    return set(re.findall(r"{(\w+)}", text))


def test_a_missing_text_or_parameter_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    full = catalogue("az")
    monkeypatch.setattr(words, "catalogue", lambda _: {key: text for key, text in full.items() if key != "coupon.how"})
    with pytest.raises(KeyError, match=r"coupon\.how"):
        mail("coupon", "az")
    monkeypatch.undo()
    monkeypatch.delitem(PARAMETERS["coupon"], "code")
    with pytest.raises(UndefinedError, match="code"):
        mail("coupon", "en")


def test_points_are_told_with_their_last_day() -> None:
    """They run out with the first moment of 1 January in Baku, four hours before UTC: 31 December is the last day."""
    made = mail("points_expiring", "en")
    for part in (made.text, Texts(made.html).text):
        assert "December 31, 2026" in part
        assert "January" not in part


KINDS = (
    "percent_off", "free_shipping", "free_product", "gift_card", "store_credit", "perk", "membership", "draw_entry",
    "donation",
)  # fmt: skip


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_reward_of_every_kind_can_be_told(kind: str, locale: str) -> None:
    """With or without a code, a value, a cost, an end, or a name in the program that there is now."""
    coded = kind not in ("membership", "draw_entry", "donation")
    bare: dict[str, Any] = {
        "kind": kind,
        "code": "7K3M" if coded else None,
        "value_minor": None,
        "expires_at": None,
        "points": 0,
    }
    for reward_id in ("five-off", "gone"):
        made = mail("coupon", locale, reward_id=reward_id, **bare)
        for part in (made.text, Texts(made.html).text):
            assert ("7K3M" in part) == coded
            assert catalogue(locale)["coupon.gift"] in part
            assert "None" not in part
        assert made.subject


ARABIC = {
    0: "0 نقطة",
    1: "نقطة واحدة",
    2: "نقطتان",
    3: "3 نقاط",
    10: "10 نقاط",
    11: "11 نقطة",
    99: "99 نقطة",
    100: "100 نقطة",
    102: "102 نقطة",
    103: "103 نقاط",
    1250: "1,250 نقطة",
}


@pytest.mark.parametrize(("n", "expected"), ARABIC.items())
def test_arabic_counts_in_six_ways(n: int, expected: object) -> None:
    assert Words(Locale("ar"), program(), html=False).points(n) == expected


@pytest.mark.parametrize(
    ("locale", "n", "expected"),
    [
        ("en", 0, "0 points"),
        ("en", 1, "1 point"),
        ("en", 1250, "1,250 points"),
        ("az", 1, "1 xal"),
        ("az", 1250, "1.250 xal"),
    ],
)
def test_other_languages_count_in_theirs(locale: str, n: int, expected: object) -> None:
    assert Words(Locale(locale), program(), html=False).points(n) == expected


def test_a_program_without_plurals_counts_with_the_name() -> None:
    plain = program()
    plain = plain.model_copy(update={"point": plain.point.model_copy(update={"plurals": {}})})
    assert Words(Locale("en"), plain, html=False).points(3) == "3 point"


def test_money_and_days_are_those_of_the_member_and_the_zone() -> None:
    english, azeri, arabic = (Words(Locale(code), program(), html=False) for code in ("en", "az", "ar"))
    assert english.money(500, "USD") == "$5.00"
    assert english.money(500, "JPY") == "¥500"
    assert azeri.money(1234567, "AZN") == "12.345,67\u00a0₼"
    assert arabic.money(500, "USD") == "\u200f5.00\u00a0US$\u200e"
    # 22:00 in UTC is the next day in Baku.
    assert english.date("2026-12-07T22:00:00+00:00") == "December 8, 2026"
    assert azeri.date("2026-12-07T22:00:00+00:00") == "8 dekabr 2026"
    assert arabic.date("2026-12-07T22:00:00+00:00") == "8 ديسمبر 2026"


@pytest.mark.parametrize(
    ("tag", "expected"),
    [
        ("ar-EG", "ar_EG"),
        ("ar", "ar"),
        ("az-Latn-AZ", "az"),
        ("EN-gb", "en_GB"),
        ("en-XX", "en"),
        ("de-DE", "az"),
        ("", "az"),
        (None, "az"),
        ("ar_SA", "ar_SA"),
        ("x-🎉", "az"),
    ],
)
def test_the_nearest_locale_is_chosen(tag: str | None, expected: object) -> None:
    assert str(choose_locale(tag, "az")) == expected


def test_a_member_of_egypt_reads_arabic() -> None:
    assert mail("welcome", "ar-EG").subject == mail("welcome", "ar").subject
    assert mail("welcome", "fr", of=program(default_locale="az")).subject == mail("welcome", "az").subject


@pytest.mark.parametrize("locale", LOCALES)
def test_names_are_escaped_and_cannot_break_lines(locale: str) -> None:
    evil = "<script>alert(1)</script>\r\nBcc: all@example.com"
    made = mail("welcome", locale, first_name=evil)
    assert "script" not in Texts(made.html).tags
    assert "&lt;script&gt;" in made.html
    assert not any(line.startswith("Bcc:") for line in made.text.splitlines())
    assert "<bdi>" in made.html


@pytest.mark.parametrize("name", [None, "", "   ", "\u202e\u2066", "Win now https://evil.example", "WWW.evil.example"])
def test_without_a_name_the_greeting_has_none(name: str | None) -> None:
    made = mail("welcome", "en", first_name=name)
    assert "Hello,\n" in made.text
    assert "evil" not in made.html


def test_names_are_tidied() -> None:
    assert tidy_name("  Ana\tMaría\u2028 ") == "Ana María"
    assert len(tidy_name("x" * 500)) == 60


def test_the_program_is_escaped_too() -> None:
    aurora = program(shop_url='https://shop.example.com/?a=1&b="><b>')
    of = aurora.model_copy(update={"name": {"en": "A<b>&{x}"}})
    made = mail("welcome", "en", of=of)
    assert "b" not in Texts(made.html).tags
    assert made.subject == "Welcome to A<b>&{x}"


def test_the_welcome_has_the_code_only_when_there_is_one() -> None:
    assert "EMILY7K3" in mail("welcome", "en").html
    assert "EMILY7K3" in mail("welcome", "en").text
    without = mail("welcome", "en", referral_code=None)
    assert "Your code" not in without.html + without.text


def test_points_say_when_they_can_be_spent() -> None:
    made = mail("points_earned", "en")
    assert made.subject == "You have earned 250 points"
    assert "+250" in made.html
    assert "Ready to spend from: December 8, 2026" in made.text
    assert "You can spend now: 1,200 points" in made.text
    assert "Still pending: 253 points" in made.text
    at_once = mail("points_earned", "en", activates_at=None, pending=0)
    assert "Ready to spend from" not in at_once.text
    assert "pending" not in at_once.text


def test_both_sides_of_a_referral_are_thanked_differently() -> None:
    assert mail("referral_rewarded", "en").text != mail("referral_rewarded", "en", role="friend").text


def test_the_lowest_tier_promises_no_multiplier() -> None:
    assert "×1.25" in mail("tier_reached", "en").html
    assert "×" not in mail("tier_reached", "en", tier_id="member").html
