"""Presets: complete training configurations by stage and name, as differences from the defaults.

``lite`` is the model in the box; ``tiny`` takes minutes on two cores, for lessons and tests.
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

PRESETS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "autoencoder": {
        "lite": {
            "iterations": 4000,
            "adversarial": 0.0,
            "lpips": 0.5,
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
        "lite": {
            "iterations": 8000,
            "schedule": _LITE_SCHEDULE,
            "network": {"kind": "lite_denoiser", "width": 96, "blocks": 14},
            "optimiser": {"learning_rate": 3e-4},
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
    "distill": {
        "lite": {
            "iterations": 4000,
            "terms": {
                "distill": 0.5,
                "inv": 0.05,
                "con": 0.1,
                "l1": 0.25,
                "lpips": 1.0,
                "adversarial": 0.05,
            },
            "train_decoder": True,
            "part": 24,
            "lpips_stages": 4,
            "discriminator": {"width": 32},
            "optimiser": {"learning_rate": 2e-4},
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
