"""Every story of the repository ends as it says, in any order of deliveries; every preset has its golden replay."""

from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
import yaml
from pydantic import BaseModel

from console.document import check, plain
from console.domain.differing import declaring
from contracts.program import Program
from laurel.stories.documents import program_of, read_document
from laurel.stories.golden import path_of, text_of
from laurel.stories.playing import play
from laurel.stories.reading import read
from laurel.stories.shuffling import shuffled

ROOT = Path(__file__).parents[3]
REFUNDS = sorted((ROOT / "stories" / "refunds").glob("*.yaml"))
PRESETS = sorted((ROOT / "programs").glob("*.yaml"))
SHUFFLES = 6


def told(path: Path) -> str:
    return path.stem if path.stem != "story" else path.parent.name


def test_there_are_enough() -> None:
    assert len(REFUNDS) >= 40
    assert len(PRESETS) >= 7


@pytest.mark.parametrize("path", REFUNDS, ids=told)
def test_a_story_ends_as_it_says(path: Path) -> None:
    story = read(path)
    assert len(story.told.why) > 60, "its numbers are derived by hand"
    wrong = [item for moment in play(story).moments for item in moment.compared if not item.same]
    assert not wrong
    assert [text for seed in range(SHUFFLES) if (text := shuffled(story, seed))] == []


@pytest.mark.parametrize("path", PRESETS, ids=told)
def test_a_preset_replays_as_kept(path: Path) -> None:
    """`laurel story --golden programs/golden` writes the transfers anew, where a change of them is meant."""
    story = path.parent / "golden" / path.stem / "story.yaml"
    outcome = play(read(story))
    wrong = [item for moment in outcome.moments for item in moment.compared if not item.same]
    assert not wrong
    assert text_of(outcome) == path_of(story).read_text("utf-8")


def test_the_presets_use_every_field() -> None:
    """What no preset shows nobody finds: every field of every model, and every word that a field can be."""
    seen: set[str] = set()
    for path in PRESETS:
        program, findings = check(path.read_text("utf-8"))
        assert program is not None, findings
        assert yaml.safe_load(path.read_text("utf-8"))["id"] == path.stem
        seen |= used(program)
    assert not known(Program) - seen - UNUSED


UNUSED = {
    # The version of a later document, and a default that says nothing.
    "Challenge.verified=False", "Basis.gift_card_tender=True", "Messages.default_locale=az",
}  # fmt: skip


def used(value: Any) -> set[str]:
    """Fields that a document gives, and the words in them."""
    if isinstance(value, tuple | list):
        return {name for item in value for name in used(item)}
    if not isinstance(value, BaseModel):
        return set()
    found: set[str] = set()
    for name, field in type(value).model_fields.items():
        inner = getattr(value, name)
        place = f"{declaring(type(value), name)}.{name}"
        if name in value.model_fields_set:
            found.add(place)
        words = inner if isinstance(inner, tuple) else (inner,)
        found |= {f"{place}={word}" for word in map(str, words) if word in literals(field.annotation)}
        found |= used(inner)
    return found


def known(model: type[BaseModel]) -> set[str]:
    """All fields and words of a model and of those inside."""
    found: set[str] = set()
    waiting, done = [model], {model}
    while waiting:
        here = waiting.pop()
        for name, field in here.model_fields.items():
            place = f"{declaring(here, name)}.{name}"
            found |= {place, *(f"{place}={word}" for word in literals(field.annotation))}
            inside = models(field.annotation) - done
            done |= inside
            waiting += inside
    return found


def literals(annotation: Any) -> set[str]:
    """The words that a field can be; keys of mappings apart."""
    if get_origin(annotation) is dict:
        return set()
    if get_origin(annotation) is Literal:
        return {str(word) for word in get_args(annotation)}
    return {word for item in get_args(annotation) if not isinstance(item, str) for word in literals(item)}


def models(annotation: Any) -> set[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return {annotation}
    return {model for item in get_args(annotation) for model in models(item)}


def test_the_story_of_the_documentation(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "stories.md").read_text("utf-8")
    example = text.split("```yaml\n")[1].split("```")[0]
    (tmp_path / "shop.yaml").write_text((ROOT / "stories" / "programs" / "shop.yaml").read_text("utf-8"), "utf-8")
    (tmp_path / "story.yaml").write_text(example, "utf-8")
    assert play(read(tmp_path / "story.yaml")).right


def test_the_examples_of_the_guide_are_programs() -> None:
    text = (ROOT / "docs" / "programs.md").read_text("utf-8")
    examples = [part.split("```")[0] for part in text.split("```yaml\n")[1:]]
    assert len(examples) >= 7
    shop = read_document(ROOT / "stories" / "programs" / "shop.yaml")
    for example in examples:
        document, _, findings = plain(example)
        assert not findings
        assert isinstance(document, dict)
        # What is named beside the shop's own: its rules and rewards stay, others are added.
        program_of(shop, document)
