"""Presets: complete training configurations by stage and name, as differences from the defaults.

``paper`` is what was published (HF-Diff 4.1; facts e.4, e.8, i.2), at its sizes; what is not stated
there is marked. ``lite`` has the sizes of the model in the box, and the numbers that its training
began with; ``tiny`` takes minutes on two cores, for lessons and tests.
"""

from collections.abc import Mapping
from typing import Any

_TINY_RUN = {
    "iterations": 40,
    "batch": 4,
    "checkpoint_every": 20,
    "validate_every": 40,
    "validation_pictures": 2,
    "log_every": 5,
    "optimiser": {"learning_rate": 1e-3, "warmup": 5},
}
_TINY_DATA = {"gt_size": 64, "workers": 0}
_TINY_CODEC = {
    "kind": "lite_codec",
    "latent_channels": 4,
    "gt_width": 16,
    "gt_blocks": 1,
    "lq_width": 16,
    "lq_blocks": 1,
    "width": 16,
    "blocks": 1,
    "middle_width": 16,
    "fine_width": 8,
}
_LITE_SCHEDULE = {"steps": 4, "min_noise": 0.2}  # the published 4-step setting (facts a.1)

_PAPER_DATA = {
    "gt_size": 256,
    "degradation": "training",
    "crop": "published",
    "draws": "batch",
    "pool_batches": 10,
    "in_memory": False,
    "workers": 8,
}
_PAPER_RUN = {
    "data": _PAPER_DATA,
    "seed": 123456,
    "ema": 0.999,
    "ema_warmup": False,
    "checkpoint_every": 1000,
    "validate_every": 2000,
    "optimiser": {
        "learning_rate": 5e-5,
        "betas": (0.9, 0.999),
        "warmup": 5000,
        "rise": "published",
        "final": None,
    },
}
# The originals cut inference into tiles of 256 with a stride of 224 (facts h.1).
_PAPER_TILES = {"tile": 256, "overlap": 32, "halo": 0}

PRESETS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "autoencoder": {
        "paper": {
            **_PAPER_RUN,
            "codec": {"kind": "vq"},
            "iterations": 400_000,  # not stated
            "batch": 8,
            "latent_noise": 0.0,
            "adversarial": 0.75,
            "lpips_part": 0,
            "lpips_stages": 5,
            "discriminator": {"width": 64, "layers": 3, "norm": "batch"},
            "ema": 0.0,
            # 4.5e-6 for each sample of a batch
            "optimiser": {
                "learning_rate": 3.6e-5,
                "betas": (0.5, 0.9),
                "warmup": 0,
                "final": None,
            },
        },
        "lite": {
            "data": {"gt_size": 128},
            "iterations": 1700,
            "batch": 64,
            "adversarial": 0.0,
            "lpips": 0.5,
            "lpips_part": 64,
            "optimiser": {"learning_rate": 5e-4},
        },
        "tiny": {
            **_TINY_RUN,
            "data": _TINY_DATA,
            "codec": _TINY_CODEC,
            "lpips_stages": 2,
            "discriminator": {"width": 8, "layers": 2},
            "adversarial": 0.75,
        },
    },
    "teacher": {
        "paper": {
            **_PAPER_RUN,
            **_PAPER_TILES,
            "network": {"kind": "swin_unet"},
            "schedule": {"steps": 15, "min_noise": 0.04},
            "iterations": 300_000,
            "batch": 64,
            "micro_batch": 16,
            "lq": 0.0,
        },
        "lite": {
            "data": {"gt_size": 160},
            "iterations": 1200,
            "batch": 96,
            "schedule": _LITE_SCHEDULE,
            "network": {"kind": "lite_denoiser", "width": 64, "blocks": 16},
            "optimiser": {"learning_rate": 4e-4},
        },
        "tiny": {
            **_TINY_RUN,
            "data": _TINY_DATA,
            "schedule": _LITE_SCHEDULE,
            "network": {
                "kind": "lite_denoiser",
                "latent_channels": 4,
                "width": 16,
                "blocks": 2,
                "time_width": 16,
            },
        },
    },
    "extractor": {
        "paper": {
            "data": {"gt_size": 224, "in_memory": False, "workers": 8},
            "labels": {"by": "folders", "crop": "resized"},
            "iterations": 800_730,  # 20 epochs of ImageNet
            "batch": 32,
            "ema": 0.0,
            "checkpoint_every": 5000,
            "validate_every": 40_000,
            "optimiser": {
                "learning_rate": 5e-4,
                "betas": (0.9, 0.999),
                "warmup": 0,
                "final": None,
                "decay": 0.95,
                "decay_every": 5000,
            },
        },
        "lite": {
            "data": {"gt_size": 48},
            "labels": {"by": "degradations", "held_out": 0.1},
            "extractor": {"invertible": {"width": 64}},
            "head": {"widths": (64, 128, 256)},
            "iterations": 3000,
            "optimiser": {"learning_rate": 1e-3, "clip": 1.0},
        },
        "tiny": {
            **_TINY_RUN,
            "data": {"gt_size": 32, "workers": 0},
            "labels": {"by": "degradations", "held_out": 0.1},
            "extractor": {"invertible": {"width": 16, "modules": 2}},
            "head": {"widths": (16, 32, 32)},
            "spread_pictures": 8,
            "iterations": 600,
            "batch": 32,
            "checkpoint_every": 200,
            "validate_every": 300,
            "validation_pictures": 40,
            "log_every": 50,
            "optimiser": {"learning_rate": 3e-3, "betas": (0.9, 0.999), "warmup": 20, "clip": 1.0},
        },
    },
    "distill": {
        "paper": {
            **_PAPER_RUN,
            "terms": {"distill": 1.0, "inv": 1.0, "con": 1.0, "hf": 0.2, "js_dino": 0.15},
            "branch": "distill",
            "iterations": 20_000,
            "batch": 32,
            "micro_batch": 8,
            "chunk": 2,
        },
        # The student first learned with its latent terms alone (image terms 0, no decoder, part 0).
        "lite": {
            "data": {"gt_size": 160, "degradation": "photographs", "soft": 0.4},
            "iterations": 1500,
            "batch": 32,
            "terms": {
                "distill": 0.2,
                "inv": 0.02,
                "con": 0.1,
                "anchor": 0.5,
                "l1": 0.05,
                "lpips": 1.0,
                "adversarial": 0.03,
            },
            "train_decoder": True,
            "part": 32,
            "lpips_stages": 4,
            "discriminator": {"width": 64},
            "optimiser": {"learning_rate": 3e-4, "clip": 2.0},
        },
        "tiny": {
            **_TINY_RUN,
            "data": _TINY_DATA,
            "terms": {"distill": 1.0, "inv": 0.1, "con": 1.0, "l1": 1.0, "adversarial": 0.01},
            "train_decoder": True,
            "discriminator": {"width": 8, "layers": 2},
        },
    },
}
