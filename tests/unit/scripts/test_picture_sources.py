"""Which collected pictures pass by their terms (scripts/picture_sources.py)."""

import importlib.util
import sys

import pytest

from support import ROOT


@pytest.fixture(scope="module")
def sources():
    spec = importlib.util.spec_from_file_location(
        "picture_sources", ROOT / "scripts" / "picture_sources.py"
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up by name
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.mark.parametrize(
    "licence",
    ["public-domain", "Public Domain", "CC0", "CC0-1.0", "CC-BY-4.0", "Expat", "MIT",
     "BSD-3-clause-Google", "GPL-2 or CC-BY-3.0"],
)  # fmt: skip
def test_terms_without_share_alike_pass(sources, licence):
    assert sources.is_permissive(licence)


@pytest.mark.parametrize(
    "licence",
    ["CC-BY-SA-4.0", "CC-BY-SA 4.0", "CC-BY-NC-4.0", "CC-BY-ND-2.0", "GPL-2+", "GFDL", "",
     "GPL and CC0", "unknown"],
)  # fmt: skip
def test_share_alike_and_further_conditions_do_not_pass(sources, licence):
    assert not sources.is_permissive(licence)


def test_the_last_matching_paragraph_decides_on_the_name_that_the_paper_uses(sources):
    text = (
        "Format: x\n\nFiles: *\nCopyright: A\nLicense: GPL-3+\n\n"
        "Files:\n images/a*\n images/b?c.jpg\nCopyright:\n 2001 B\n C\nLicense: CC0-1.0\n words\n\n"
        "Files: images/a[1].jpg\nCopyright: D\nLicense: CC-BY-SA-3.0\n"
    )
    paper = sources.CopyrightFile(text, ("usr/share/game/", ""))

    assert paper.terms("usr/share/game/images/a2.jpg").licence == "CC0-1.0"
    assert paper.terms("usr/share/game/images/b c.jpg").author == "2001 B C"
    assert paper.terms("usr/share/game/images/a[1].jpg").licence == "CC-BY-SA-3.0"
    assert paper.terms("usr/share/game/images/z.jpg").licence == "GPL-3+"


def test_blocks_of_a_readme_give_every_file_its_terms_in_any_order_of_fields(sources):
    text = (
        "Copyright: A\nSource: https://a\nLicense: Public Domain\nFiles:\none.webp\ntwo.webp\n\n"
        "Files: three.webp\nCopyright: B\nLicense: CC-BY-SA-4.0\n"
    )

    terms = dict(sources._readme_blocks(text))

    assert set(terms) == {"one.webp", "two.webp", "three.webp"}
    assert terms["two.webp"].author == "A; https://a"
    assert terms["three.webp"].licence == "CC-BY-SA-4.0"
