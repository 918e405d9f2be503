"""docs/method.md quotes the sources: what it shows must stand there, in this order."""

import re
from textwrap import dedent

import pytest

from support import ROOT

PAGE = ROOT / "docs" / "method.md"
QUOTE = re.compile(r"^`(src/\S+)`\n\n```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
QUOTES = QUOTE.findall(PAGE.read_text(encoding="utf-8"))


def test_every_block_of_code_names_its_source():
    assert len(QUOTES) == PAGE.read_text(encoding="utf-8").count("```python") > 10


@pytest.mark.parametrize(("source", "quoted"), QUOTES)
def test_quoted_lines_stand_in_the_source(source, quoted):
    lines = [line.strip() for line in (ROOT / source).read_text(encoding="utf-8").splitlines()]
    wanted = [line.strip() for line in dedent(quoted).splitlines()]

    starts = [k for k, line in enumerate(lines) if line == wanted[0]]
    assert any(lines[k : k + len(wanted)] == wanted for k in starts), quoted


def test_links_of_the_page_lead_somewhere():
    for target in re.findall(r"\]\(([^)#]+)\)", PAGE.read_text(encoding="utf-8")):
        assert (PAGE.parent / target).is_file(), target
