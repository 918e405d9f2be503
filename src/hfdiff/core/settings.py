"""Settings: plain frozen dataclasses, validated from YAML or JSON by pydantic's TypeAdapter.

Unknown keys are errors that name the nearest known key; values are not silently cast.
"""

import difflib
import json
from collections.abc import Hashable, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import yaml
from pydantic import TypeAdapter, ValidationError

from hfdiff.core.errors import SettingsError

T = TypeVar("T")


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
        near = difflib.get_close_matches(path.rsplit(".", 1)[-1], known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}?" if near else f"known keys: {', '.join(sorted(known))}"
        raise SettingsError(f"{where}: unknown key {path}", hint=hint)
    try:
        return _adapter(kind).validate_python(values)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or kind.__name__
        reason = first["msg"].removeprefix("Value error, ")
        raise SettingsError(f"{where}: {place}: {reason}") from error


def plain(settings: Any) -> Any:
    """A settings dataclass as mappings, lists, strings and numbers that JSON and YAML can hold."""
    return _adapter(type(settings)).dump_python(settings, mode="json")


def to_json(settings: Any) -> str:
    """A settings dataclass as one line of JSON with sorted keys."""
    return json.dumps(plain(settings), sort_keys=True)


def to_yaml(settings: Any) -> str:
    """A settings dataclass as YAML, in the order of its fields."""
    return yaml.safe_dump(plain(settings), sort_keys=False, allow_unicode=True)


def read_yaml(path: Path) -> Any:
    """The plain values of a YAML file.

    Raises:
        SettingsError: when it cannot be read or is not YAML.
    """
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SettingsError(f"{path} cannot be read as YAML: {error}") from error


def overridden(values: Mapping[str, Any], overrides: list[str]) -> dict[str, Any]:
    """Values with ``key.sub=value`` overrides applied; the value is read as YAML.

    Raises:
        SettingsError: for an override without ``=``.
    """
    result = json.loads(json.dumps(values))
    for override in overrides:
        path, sign, text = override.partition("=")
        if not sign:
            raise SettingsError(f"an override is key=value, got {override!r}")
        *parents, last = path.split(".")
        place = result
        for parent in parents:
            place = place.setdefault(parent, {})
            if not isinstance(place, dict):
                raise SettingsError(f"override {override!r}: {parent} has no keys of its own")
        place[last] = yaml.safe_load(text)
    return result


@cache
def _built_adapter(kind: Hashable) -> TypeAdapter[Any]:
    return TypeAdapter(cast(Any, kind))


def _adapter(kind: type[T]) -> TypeAdapter[T]:
    return _built_adapter(cast(Hashable, kind))


def _first_unknown(values: Any, kind: Any, prefix: str) -> tuple[str, list[str]] | None:
    """Path of the first key that a dataclass does not have, and the keys it has."""
    if not (is_dataclass(kind) and isinstance(values, Mapping)):
        return None
    known = {field.name: field.type for field in fields(kind)}
    for key, value in values.items():
        if key not in known:
            return f"{prefix}{key}", list(known)
        inner = _first_unknown(value, _dataclass_in(known[key], value), f"{prefix}{key}.")
        if inner is not None:
            return inner
    return None


def _dataclass_in(annotation: Any, value: Any) -> Any:
    """The dataclass that an annotation (``X``, ``X | None``, ``X | Y`` told by ``kind``) means."""
    options = getattr(annotation, "__args__", (annotation,))
    found = [option for option in options if is_dataclass(option)]
    if len(found) > 1 and isinstance(value, Mapping):
        found = [option for option in found if _default_kind(option) == value.get("kind")]
    return found[0] if found else None


def _default_kind(option: Any) -> Any:
    return next((field.default for field in fields(option) if field.name == "kind"), None)
