"""Make a small copy of a trained lite model: half floats, and without the gt encoder if asked.

Usage: python scripts/ship_model.py IN OUT --name NAME [--without-gt-encoder]
"""

import argparse
from dataclasses import replace
from pathlib import Path

from hfdiff.model.build import build_model
from hfdiff.model.model_file import load_model, save_model
from hfdiff.nn.lite import LiteCodecConfig


def ship(source: Path, target: Path, name: str, *, without_gt_encoder: bool) -> None:
    """Write the copy; its card keeps the history of the source."""
    model, description = load_model(source)
    codec = model.config.codec
    if without_gt_encoder and isinstance(codec, LiteCodecConfig):
        config = replace(model.config, codec=replace(codec, with_gt_encoder=False))
        smaller = build_model(config)
        kept = smaller.state_dict().keys()
        smaller.load_state_dict({k: t for k, t in model.state_dict().items() if k in kept})
        model = smaller
    save_model(target, model, replace(description.card, name=name), half=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--name", required=True)
    parser.add_argument("--without-gt-encoder", action="store_true")
    asked = parser.parse_args()
    ship(asked.source, asked.target, asked.name, without_gt_encoder=asked.without_gt_encoder)
