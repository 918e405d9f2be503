"""docs/training.md names tests and settings: they must exist."""

import re
import shlex

import pytest

from hfdiff.training.run import resolve
from support import ROOT

PAGE = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
NAMED = re.findall(r"`(tests/\S+\.py)::(\w+)`", PAGE)
COMMANDS = [
    shlex.split(line)
    for block in re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)
    for line in block.replace("\\\n", " ").splitlines()
]


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_every_test_that_the_page_names_exists(file, name):
    assert f"\ndef {name}(" in (ROOT / file).read_text(encoding="utf-8")


def test_every_item_of_the_list_has_a_row():
    items = re.findall(r"^\| 6\.6\.(\d+) ", PAGE, re.MULTILINE)

    assert [int(item) for item in items] == list(range(1, 18))


@pytest.mark.parametrize("words", [w for w in COMMANDS if w[1] == "train"], ids=lambda w: w[2])
def test_every_training_of_the_lesson_has_settings_that_exist(words):
    changes = [word for word in words if "=" in word]

    settings = resolve(words[2], "tiny", None, changes)

    assert settings.out.startswith("lesson/")
    assert settings.data.root == ("photos",)
