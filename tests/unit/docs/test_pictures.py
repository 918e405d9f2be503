"""docs/pictures.md names tests: they must exist."""

import re

import pytest

from support import ROOT

PAGE = (ROOT / "docs" / "pictures.md").read_text(encoding="utf-8")
NAMED = re.findall(r"`(tests/\S+\.py)::(\w+)`", PAGE)


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_every_test_that_the_page_names_exists(file, name):
    assert f"\ndef {name}(" in (ROOT / file).read_text(encoding="utf-8")


def test_every_item_has_a_row():
    items = re.findall(r"^\| 6\.1\.(\d+) ", PAGE, re.MULTILINE)

    assert items == [str(number) for number in range(1, 22)]
