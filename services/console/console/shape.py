"""The shape of the program document, read from its models: what may stand at a place of it."""

from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel

from contracts.program import Program

Path = tuple[str | int, ...]


def resolve(location: Path) -> tuple[Path, Any]:
    """A place as pydantic names it, without what it adds to the fields of the file, and the type of what stands there.

    It adds the chosen `type` behind an item of several kinds, the member of other unions, and `[key]` behind a name.
    """
    kept: list[str | int] = []
    here: Any = Program
    for part in location:
        kinds = kinds_of(here)
        if part in kinds:
            here = kinds[part]
        elif isinstance(part, str) and (part == "[key]" or part.startswith("literal[")):
            continue
        else:
            kept.append(part)
            here = inside(here, part)
    return tuple(kept), here


def type_at(path: Path, document: Any) -> Any:
    """The type of what stands at a place of the document; None where it has no such place."""
    here: Any = Program
    for part in path:
        kinds = kinds_of(here)
        if kinds:
            here = kinds.get(_item(document, "type"))
        here = inside(here, part)
        document = _item(document, part)
    return here


def _item(document: Any, part: str | int) -> Any:
    if isinstance(document, dict):
        return document.get(part)
    return document[part] if isinstance(document, list) and isinstance(part, int) and part < len(document) else None


def inside(annotation: Any, part: str | int) -> Any:
    """The type of a field of a model, of an item of a list, of a value of a mapping; None where there is none."""
    plain = _plain(annotation)
    if isinstance(plain, type) and issubclass(plain, BaseModel):
        field = plain.model_fields.get(str(part))
        return field.annotation if field else None
    arguments = get_args(plain)
    if get_origin(plain) is tuple and isinstance(part, int):
        return arguments[0]
    return arguments[1] if get_origin(plain) is dict else None


def kinds_of(annotation: Any) -> dict[str | int, type[BaseModel]]:
    """The models of an item of several kinds, by the `type` that chooses them; empty for all else."""
    models = [model for model in get_args(_plain(annotation)) if "type" in _fields(model)]
    return {tag: model for model in models for tag in get_args(model.model_fields["type"].annotation)}


def fields_of(annotation: Any) -> list[str]:
    """The names of the fields of a model; empty for all else."""
    return list(_fields(_plain(annotation)))


def _fields(model: Any) -> dict[str, Any]:
    return dict(model.model_fields) if isinstance(model, type) and issubclass(model, BaseModel) else {}


def _plain(annotation: Any) -> Any:
    """Without `Annotated` and `| None`."""
    while True:
        if get_origin(annotation) is Annotated:
            annotation = get_args(annotation)[0]
            continue
        some = [item for item in get_args(annotation) if item is not type(None)]
        if len(some) == 1 and len(get_args(annotation)) == 2 and get_origin(annotation) not in (tuple, dict):
            annotation = some[0]
            continue
        return annotation
