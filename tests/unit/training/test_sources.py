import pytest
import yaml

from hfdiff.core.settings import plain, to_yaml
from hfdiff.training.presets import PRESETS
from hfdiff.training.run import resolve
from hfdiff.training.sources import SOURCES, with_sources
from hfdiff.training.table import STAGES

# Of the preset, but no part of the method.
CHORES = ("in_memory", "workers", "checkpoint_every", "validate_every")


def leaves(values, prefix=""):
    for key, value in values.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


def is_told(stage, key):
    """Whether it or a part that holds it has a source."""
    parts = key.split(".")
    return any(".".join(parts[:n]) in SOURCES[stage] for n in range(1, len(parts) + 1))


@pytest.mark.parametrize("stage", STAGES)
def test_every_number_that_the_preset_sets_has_a_source(stage):
    untold = [
        key
        for key in leaves(PRESETS[stage]["paper"])
        if key.rsplit(".", 1)[-1] not in (*CHORES, "kind") and not is_told(stage, key)
    ]

    assert untold == []


@pytest.mark.parametrize("stage", STAGES)
def test_every_source_is_of_a_setting_and_is_shown_behind_it(stage):
    paper = resolve(stage, "paper", None, [])

    shown = with_sources(stage, paper, paper)

    assert yaml.safe_load(shown) == yaml.safe_load(to_yaml(paper))
    assert shown.count("  # ") == len(SOURCES[stage])


def test_what_was_changed_has_no_source_any_more():
    paper = resolve("distill", "paper", None, [])
    mine = resolve("distill", "paper", None, ["terms.hf=1", "batch=16"])

    lines = with_sources("distill", mine, paper).splitlines()

    assert "  hf: 1.0" in lines
    assert "batch: 16" in lines
    assert "iterations: 20000  # HF-Diff 4.1" in lines
    assert "  js_dino: 0.15  # Eqs. 4 and 9: eta_2" in lines


def test_the_published_numbers_are_in_the_presets():
    """Paper 4.1 and Eq. 9."""
    distill = resolve("distill", "paper", None, [])
    extractor = resolve("extractor", "paper", None, [])

    assert (distill.iterations, distill.batch) == (20_000, 32)
    assert distill.terms == {"distill": 1, "inv": 1, "con": 1, "hf": 0.2, "js_dino": 0.15}
    assert (extractor.batch, extractor.optimiser.learning_rate) == (32, 5e-4)
    assert extractor.iterations == round(20 * 1_281_167 / 32) + 1
    assert plain(extractor.extractor)["invertible"]["width"] == 128
