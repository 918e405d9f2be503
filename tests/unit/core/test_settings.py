"""Settings: strict, with the nearest key named, and what is written is what is read."""

import json
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from hfdiff.core.errors import SettingsError
from hfdiff.core.settings import overridden, plain, read_yaml, to_json, to_yaml, validate


@dataclass(frozen=True, kw_only=True)
class Round:
    kind: Literal["round"] = "round"
    radius: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Square:
    kind: Literal["square"] = "square"
    side: int = 2

    def __post_init__(self) -> None:
        if self.side < 1:
            raise SettingsError(f"side must be at least 1, got {self.side}")


Shape = Annotated[Round | Square, Field(discriminator="kind")]


@dataclass(frozen=True, kw_only=True)
class House:
    rate: float = 1e-4
    steps: int = 3
    name: str = "x"
    flag: bool = True
    pair: tuple[int, ...] = (1, 2)
    shape: Shape = field(default_factory=Round)
    maybe: Shape | None = None
    limit: float | None = None
    weights: Mapping[str, float] = field(default_factory=dict)
    rooms: tuple[Square, ...] = ()
    named: Mapping[str, Square] = field(default_factory=dict)
    place: Path | None = None


def house(text):
    """What a YAML text means, as read from a file."""
    return validate(overridden({}, [f"all={text}"])["all"], House, "house.yaml")


def refusal(text):
    with pytest.raises(SettingsError) as caught:
        house(text)
    return str(caught.value), caught.value.hint


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("{rate: 5e-5}", House(rate=5e-5)),
        ("{rate: 1.5E+3}", House(rate=1500.0)),
        ("{rate: 10}", House(rate=10.0)),
        ("{steps: 2e4}", House(steps=20_000)),
        ("{limit: 2e-1}", House(limit=0.2)),
        ("{limit: null}", House()),
        ("{pair: [3]}", House(pair=(3,))),
        ("{weights: {inv: 1, hf: 2e-1}}", House(weights={"inv": 1.0, "hf": 0.2})),
        ("{shape: {kind: square, side: 4}}", House(shape=Square(side=4))),
        ("{maybe: {kind: round}}", House(maybe=Round())),
        ("{rooms: [{side: 3}, {}]}", House(rooms=(Square(side=3), Square()))),
        ("{named: {hall: {side: 9}}}", House(named={"hall": Square(side=9)})),
        ("{place: a/b}", House(place=Path("a/b"))),
        ("{flag: no}", House(flag=False)),
        ("{}", House()),
    ],
)
def test_yaml_becomes_settings(text, wanted):
    assert house(text) == wanted


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{steps: 3.5}", "house.yaml: steps: Input should be a valid integer, got a number with"),
        ("{steps: '4'}", "house.yaml: steps: expected a number, got '4'"),
        ("{steps: no}", "house.yaml: steps: expected a number, got False"),
        ("{rate: yes}", "house.yaml: rate: expected a number, got True"),
        ("{rate: '5e-5'}", "house.yaml: rate: expected a number, got '5e-5'"),
        ("{rate: fast}", "house.yaml: rate: Input should be a valid number"),
        ("{name: no}", "house.yaml: name: Input should be a valid string"),
        ("{name: 5}", "house.yaml: name: Input should be a valid string"),
        ("{flag: 1}", "house.yaml: flag: expected yes or no, got 1"),
        ("{flag: 'no'}", "house.yaml: flag: expected yes or no, got 'no'"),
        ("{pair: 5}", "house.yaml: pair: Input should be a valid tuple"),
        ("{pair: [1, yes]}", "house.yaml: pair.1: expected a number, got True"),
        ("{weights: {hf: x}}", "house.yaml: weights.hf: Input should be a valid number"),
        (
            "{shape: {kind: square, side: '3'}}",
            "house.yaml: shape.side: expected a number, got '3'",
        ),
        ("[]", "house.yaml: House: Input should be a dictionary"),
        ("{rooms: [{side: 0}]}", "house.yaml: rooms.0: side must be at least 1, got 0"),
    ],
)
def test_values_of_another_type_are_refused_not_cast(text, message):
    assert refusal(text)[0].startswith(message)


@pytest.mark.parametrize(
    ("text", "key", "hint"),
    [
        ("{stpes: 3}", "stpes", "did you mean steps?"),
        ("{shape: {kind: square, sied: 3}}", "shape.sied", "did you mean side?"),
        ("{shape: {kind: round, side: 3}}", "shape.side", "known keys: kind, radius"),
        ("{maybe: {kind: square, sides: 3}}", "maybe.sides", "did you mean side?"),
        ("{rooms: [{side: 1}, {sde: 3}]}", "rooms.1.sde", "did you mean side?"),
        ("{named: {hall: {syde: 3}}}", "named.hall.syde", "did you mean side?"),
        ("{1: 2}", "1", "known keys: flag, limit, maybe, name, named, pair, place, rate, rooms, "),
    ],
)
def test_an_unknown_key_names_the_nearest(text, key, hint):
    message, got = refusal(text)

    assert message == f"house.yaml: unknown key {key}"
    assert got.startswith(hint)


def test_any_name_may_stand_in_a_mapping():
    assert house("{weights: {anything: 1}}").weights == {"anything": 1.0}


@pytest.mark.parametrize("text", ["{shape: {kind: oval}}", "{shape: {side: 3}}", "{shape: 5}"])
def test_a_part_without_a_known_kind_is_refused(text):
    message, _ = refusal(text)

    assert message.startswith("house.yaml: shape: ")


FULL = House(
    rate=3e-7,
    name="5e-5",
    shape=Square(side=7),
    weights={"a": 0.1},
    rooms=(Square(), Square(side=5)),
    named={"no": Square()},
    place=Path("/a b"),
)


def test_settings_survive_yaml(tmp_path):
    """Also names that look like numbers or like yes and no."""
    path = tmp_path / "a.yaml"
    path.write_text(to_yaml(FULL), encoding="utf-8")

    assert validate(read_yaml(path), House, "a.yaml") == FULL
    assert list(yaml.safe_load(to_yaml(FULL))) == list(House.__dataclass_fields__)


def test_settings_survive_json():
    assert validate(json.loads(to_json(FULL)), House, "x") == FULL
    assert validate(plain(FULL), House, "x") == FULL


@given(st.floats(allow_nan=False))
def test_every_float_survives_to_the_bit(value):
    back = validate(plain(House(rate=value)), House, "x").rate

    assert struct.pack("<d", back) == struct.pack("<d", value)
    assert overridden({}, [f"rate={value!r}"])["rate"] == value or math.isinf(value)


def test_overrides_go_down_and_leave_the_rest():
    values = {"a": {"b": 1, "c": 2}, "d": [1]}

    result = overridden(values, ["a.b=5e-5", "d=[2, 3]", "e.f=text=more", "g="])

    assert result == {
        "a": {"b": 5e-5, "c": 2},
        "d": [2, 3],
        "e": {"f": "text=more"},
        "g": None,
    }
    assert values == {"a": {"b": 1, "c": 2}, "d": [1]}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("steps", "an override is key=value, got 'steps'"),
        ("=5", "an override is key=value, got '=5'"),
        ("a..b=5", "an override is key=value, got 'a..b=5'"),
        ("d.x=1", "override 'd.x=1': d has no keys of its own"),
        ("a=[1", "override 'a=[1' is not YAML: line 1: expected ',' or ']'"),
    ],
)
def test_an_override_that_cannot_be_meant_is_refused(override, message):
    with pytest.raises(SettingsError) as caught:
        overridden({"d": 1}, [override])

    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a: [1\nb: 2\n", "cannot be read as YAML: line 2: expected ',' or ']'"),
        (b"\xff\xfe\xfa", "cannot be read as YAML: 'utf-8' codec"),
        (b"a: !!python/object:os.system {}", "could not determine a constructor"),
        (None, "cannot be read as YAML: No such file or directory"),
    ],
)
def test_a_file_that_is_no_yaml_is_one_sentence(tmp_path, content, message):
    path = tmp_path / "a.yaml"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(SettingsError) as caught:
        read_yaml(path)

    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
