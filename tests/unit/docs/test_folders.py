"""docs/folders.md names tests and fields: they must exist."""

import re
from dataclasses import fields

import pytest

from hfdiff.upscaling.records import Record
from support import ROOT

PAGE = (ROOT / "docs" / "folders.md").read_text(encoding="utf-8")
NAMED = re.findall(r"`(tests/\S+\.py)::(\w+)`", PAGE)


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_every_test_that_the_page_names_exists(file, name):
    assert f"\ndef {name}(" in (ROOT / file).read_text(encoding="utf-8")


def test_every_item_has_a_row():
    rows = re.findall(r"^\| (6\.[2-5]\.\d+(?:, 6\.[2-5]\.\d+)*) ", PAGE, re.MULTILINE)
    items = [item for row in rows for item in row.split(", ")]

    lengths = {2: 12, 3: 14, 4: 16, 5: 10}
    wanted = [f"6.{part}.{k}" for part in lengths for k in range(1, lengths[part] + 1)]
    assert items == wanted


def test_every_field_of_json_has_its_row():
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \| ", PAGE.split("## users")[0], re.MULTILINE)
    named = [name for row in rows for name in re.findall(r"\w+", row)]

    assert sorted(named) == sorted(field.name for field in fields(Record))
