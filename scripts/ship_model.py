"""Make a small copy of a trained lite model: half floats, and without the gt encoder if asked.

Several files of one architecture become one with the mean of their weights: students that were
trained from one start by different seeds are better together.

Usage: python scripts/ship_model.py IN [IN ...] OUT --name NAME [--without-gt-encoder]
    [--data-terms TEXT] [--limits TEXT] [--halo N] [--color-fix]
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from hfdiff.model.build import build_model
from hfdiff.model.model_file import load_model, save_model
from hfdiff.nn.lite import LiteCodecConfig


def ship(
    sources: Sequence[Path],
    target: Path,
    told: Mapping[str, str],
    *,
    without_gt_encoder: bool,
    halo: int | None = None,
    color_fix: bool = False,
) -> None:
    """Write the copy; its card keeps the history of the first source, but for what is ``told``."""
    model, description = load_model(sources[0])
    others = [load_model(path)[0].state_dict() for path in sources[1:]]
    state = {
        key: torch.stack([tensor, *(other[key] for other in others)]).mean(0)
        for key, tensor in model.state_dict().items()
    }
    config = model.config if halo is None else replace(model.config, halo=halo)
    config = replace(config, color_fix=color_fix)
    if without_gt_encoder and isinstance(config.codec, LiteCodecConfig):
        config = replace(config, codec=replace(config.codec, with_gt_encoder=False))
    made = build_model(config)
    made.load_state_dict({key: state[key] for key in made.state_dict()})
    card = replace(description.card, **told)
    if others:
        stages = [
            *card.training.get("stages", []),
            {"stage": "mean of weights", "of": len(sources)},
        ]
        card = replace(card, training={**card.training, "stages": stages})
    save_model(target, made, card, half=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path, nargs="+")
    parser.add_argument("target", type=Path)
    parser.add_argument("--name", required=True)
    parser.add_argument("--data-terms")
    parser.add_argument("--limits")
    parser.add_argument("--halo", type=int)
    parser.add_argument("--color-fix", action="store_true")
    parser.add_argument("--without-gt-encoder", action="store_true")
    asked = parser.parse_args()
    named = {"name": asked.name, "data_terms": asked.data_terms, "limits": asked.limits}
    ship(
        asked.source,
        asked.target,
        {key: text for key, text in named.items() if text is not None},
        without_gt_encoder=asked.without_gt_encoder,
        halo=asked.halo,
        color_fix=asked.color_fix,
    )
