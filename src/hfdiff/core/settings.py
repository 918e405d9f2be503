"""Settings: plain frozen dataclasses, validated from YAML or JSON by pydantic's TypeAdapter.

Unknown keys are errors that name the nearest known key. Values are not silently cast, but for whole
numbers where a number is wanted: ``yes`` is no 1 and ``"4"`` is no 4.
"""

import difflib
import json
import re
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import yaml
from pydantic import TypeAdapter, ValidationError

from hfdiff.core.errors import SettingsError

T = TypeVar("T")

_WORDS: Mapping[type, str] = {bool: "yes or no", int: "a number", float: "a number", str: "text"}
_FLOAT = "tag:yaml.org,2002:float"
_SCIENTIFIC = re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$")


class _Loader(yaml.SafeLoader):
    """YAML 1.1 takes 5e-5 for a string; here it is the number that people mean."""


class _Dumper(yaml.SafeDumper):
    """Quotes the strings that `_Loader` would take for numbers."""


_Loader.add_implicit_resolver(_FLOAT, _SCIENTIFIC, list("-+0123456789"))
_Dumper.add_implicit_resolver(_FLOAT, _SCIENTIFIC, list("-+0123456789"))


def validate(values: Any, kind: type[T], where: str) -> T:
    """Plain values (mappings, lists, numbers) as an instance of a settings dataclass.

    Args:
        values: What YAML or JSON gave.
        kind: A frozen dataclass, which may hold others.
        where: What the values are, for messages: a file name or "configuration".

    Raises:
        SettingsError: naming the key, what was expected and, for unknown keys, the nearest one.
    """
    unknown = _first_unknown(values, kind, "")
    if unknown is not None:
        path, known = unknown
        near = difflib.get_close_matches(path.rsplit(".", 1)[-1], known, n=1, cutoff=0.6)
        hint = f"did you mean {near[0]}?" if near else f"known keys: {', '.join(sorted(known))}"
        raise SettingsError(f"{where}: unknown key {path}", hint=hint)
    try:
        settings = _adapter(kind).validate_python(values)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or kind.__name__
        reason = first["msg"].removeprefix("Value error, ")
        raise SettingsError(f"{where}: {place}: {reason}") from error
    cast_at = _first_cast(values, plain(settings), "")
    if cast_at is not None:
        raise SettingsError(f"{where}: {cast_at}")
    return settings


def plain(settings: Any) -> Any:
    """A settings dataclass as mappings, lists, strings and numbers that JSON and YAML can hold."""
    return _adapter(type(settings)).dump_python(settings, mode="json")


def to_json(settings: Any) -> str:
    """A settings dataclass as one line of JSON with sorted keys."""
    return json.dumps(plain(settings), sort_keys=True)


def to_yaml(settings: Any) -> str:
    """A settings dataclass as YAML, in the order of its fields."""
    return yaml.dump(plain(settings), Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def read_yaml(path: Path) -> Any:
    """The plain values of a YAML file.

    Raises:
        SettingsError: when it cannot be read or is not YAML.
    """
    try:
        return _parsed(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SettingsError(f"{path} cannot be read as YAML: {_reason(error)}") from error


def overridden(values: Mapping[str, Any], overrides: list[str]) -> dict[str, Any]:
    """Values with ``key.sub=value`` overrides applied; the value is read as YAML.

    Raises:
        SettingsError: for an override without ``=`` or whose value is not YAML.
    """
    result = json.loads(json.dumps(values))
    for override in overrides:
        path, sign, text = override.partition("=")
        if not sign:
            raise SettingsError(f"an override is key=value, got {override!r}")
        *parents, last = path.split(".")
        if not all((*parents, last)):
            raise SettingsError(f"an override is key=value, got {override!r}")
        place = result
        for parent in parents:
            place = place.setdefault(parent, {})
            if not isinstance(place, dict):
                raise SettingsError(f"override {override!r}: {parent} has no keys of its own")
        try:
            place[last] = _parsed(text)
        except yaml.YAMLError as error:
            raise SettingsError(f"override {override!r} is not YAML: {_reason(error)}") from error
    return result


def _parsed(text: str) -> Any:
    loader = _Loader(text)
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


def _reason(error: Exception) -> str:
    """One line of what YAML explains on several."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f"line {error.problem_mark.line + 1}: {error.problem}"
    return str(getattr(error, "strerror", None) or error).splitlines()[0]


@cache
def _built_adapter(kind: Hashable) -> TypeAdapter[Any]:
    return TypeAdapter(cast(Any, kind))


def _adapter(kind: type[T]) -> TypeAdapter[T]:
    return _built_adapter(cast(Hashable, kind))


def _first_unknown(values: Any, annotation: Any, prefix: str) -> tuple[str, list[str]] | None:
    """Path of the first key that a dataclass does not have, and the keys it has."""
    kind = _dataclass_in(annotation, values)
    known = get_type_hints(kind) if kind is not None else None
    for key, value in _items(values):
        if known is not None and key not in known:
            return f"{prefix}{key}", list(known)
        inner = _held_by(annotation) if known is None else known[key]
        unknown = _first_unknown(value, inner, f"{prefix}{key}.")
        if unknown is not None:
            return unknown
    return None


def _items(values: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(values, Mapping):
        yield from values.items()
    elif isinstance(values, list | tuple):
        yield from enumerate(values)


def _first_cast(given: Any, made: Any, path: str) -> str | None:
    """Where pydantic made a number of a text, or of yes and no, and the like; and from what."""
    if isinstance(given, Mapping) and isinstance(made, Mapping):
        pairs = [(key, value, made[key]) for key, value in given.items() if key in made]
    elif isinstance(given, list | tuple) and isinstance(made, list):
        pairs = [(k, *pair) for k, pair in enumerate(zip(given, made, strict=False))]
    else:
        wanted, came = _WORDS.get(type(made)), _WORDS.get(type(given))
        return f"{path}: expected {wanted}, got {given!r}" if wanted and came != wanted else None
    below = (_first_cast(a, b, f"{path}.{key}" if path else str(key)) for key, a, b in pairs)
    return next((found for found in below if found), None)


def _dataclass_in(annotation: Any, values: Any) -> Any:
    """The dataclass that a mapping means where ``X``, ``X | None`` or ``X | Y`` is wanted."""
    if not isinstance(values, Mapping):
        return None
    found = [option for option in _alternatives(annotation) if is_dataclass(option)]
    if len(found) > 1:
        found = [option for option in found if _default_kind(option) == values.get("kind")]
    return found[0] if found else None


def _held_by(annotation: Any) -> Any:
    """What the elements of ``tuple[X, ...]`` or the values of ``Mapping[str, X]`` must be."""
    held = [inner for option in _alternatives(annotation) for inner in get_args(option)]
    return next((inner for inner in reversed(held) if inner is not Ellipsis), None)


def _alternatives(annotation: Any) -> Iterator[Any]:
    if get_origin(annotation) in (Union, UnionType):
        for option in get_args(annotation):
            yield from _alternatives(option)
    else:
        yield annotation


def _default_kind(option: Any) -> Any:
    return next((field.default for field in fields(option) if field.name == "kind"), None)
