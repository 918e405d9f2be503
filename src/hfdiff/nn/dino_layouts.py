"""The layouts in which DINOv2 weights are handed around, and what their shapes say.

Three name the same tensors: the original (``blocks.L.attn.qkv``), the hub's (``encoder.layer.L.
attention.attention.query``) and that of transformers 5 (``...attention.q_proj``). The hub's is the
common ground here: everything is turned into it, and from it into what is installed.
"""

import math
import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from hfdiff.core.errors import CheckpointError, some_of

PATCH = 14
HEAD_WIDTH = 64
# Width: depth and whether the feed-forward part is gated (facts j.4).
SIZES: Mapping[int, tuple[int, bool]] = {
    384: (12, False),
    768: (12, False),
    1024: (24, False),
    1536: (40, True),
}
PREFIXES = ("module.", "backbone.", "dinov2.", "dinov2_with_registers.")

_TO_HUB: tuple[tuple[str, str], ...] = (
    # the original
    (r"^pos_embed$", "embeddings.position_embeddings"),
    (r"^(cls_token|mask_token|register_tokens)$", r"embeddings.\1"),
    (r"^patch_embed\.proj\.", "embeddings.patch_embeddings.projection."),
    (r"^norm\.", "layernorm."),
    (r"^blocks\.(\d+)\.attn\.proj\.", r"encoder.layer.\1.attention.output.dense."),
    (r"^blocks\.(\d+)\.ls([12])\.gamma$", r"encoder.layer.\1.layer_scale\2.lambda1"),
    (r"^blocks\.(\d+)\.mlp\.w12\.", r"encoder.layer.\1.mlp.weights_in."),
    (r"^blocks\.(\d+)\.mlp\.w3\.", r"encoder.layer.\1.mlp.weights_out."),
    (r"^blocks\.", "encoder.layer."),
    # transformers 5
    (r"\.attention\.q_proj\.", ".attention.attention.query."),
    (r"\.attention\.k_proj\.", ".attention.attention.key."),
    (r"\.attention\.v_proj\.", ".attention.attention.value."),
    (r"\.attention\.o_proj\.", ".attention.output.dense."),
    (r"\.mlp\.down_proj\.", ".mlp.weights_out."),
)
_TO_5: tuple[tuple[str, str], ...] = (
    (r"\.attention\.attention\.query\.", ".attention.q_proj."),
    (r"\.attention\.attention\.key\.", ".attention.k_proj."),
    (r"\.attention\.attention\.value\.", ".attention.v_proj."),
    (r"\.attention\.output\.dense\.", ".attention.o_proj."),
    (r"\.mlp\.weights_out\.", ".mlp.down_proj."),
)


def hub_layout(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of any known layout under the hub's names; unknown names stay as they are."""
    renamed = {_renamed(key, _TO_HUB): t for key, t in _without_prefix(tensors).items()}
    result: dict[str, Tensor] = {}
    for key, tensor in renamed.items():
        if ".attn.qkv." in key:  # the original keeps query, key and value in one matrix
            names = [key.replace("attn.qkv", f"attention.attention.{n}") for n in _PARTS]
            result.update(zip(names, tensor.chunk(3), strict=True))
        elif ".mlp.gate_proj." in key:  # transformers 5 keeps the gated layer in two
            other = renamed.get(key.replace("gate_proj", "up_proj"), tensor[:0])
            result[key.replace("gate_proj", "weights_in")] = torch.cat([tensor, other])
        elif ".mlp.up_proj." not in key:
            result[key] = tensor
    return result


def like_installed(
    tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Weights in the hub's layout under the names that the installed transformers has.

    The mask token plays no part in features: where it is absent it is zero.
    """
    fitting = dict(tensors)
    if any(".attention.q_proj." in key for key in expected):
        fitting = {_renamed(key, _TO_5): tensor for key, tensor in fitting.items()}
    if any(".mlp.gate_proj." in key for key in expected):
        for key in [key for key in fitting if ".mlp.weights_in." in key]:
            names = [key.replace("weights_in", name) for name in ("gate_proj", "up_proj")]
            fitting.update(zip(names, fitting.pop(key).chunk(2), strict=True))
    mask = "embeddings.mask_token"
    if mask in expected and mask not in fitting:
        fitting[mask] = torch.zeros(expected[mask].shape)
    return {key: tensor.float() for key, tensor in fitting.items()}


def facts_of(tensors: Mapping[str, Tensor], where: str) -> dict[str, Any]:
    """What the shapes of weights in the hub's layout say, as options of transformers' config.

    Raises:
        CheckpointError: when they are not those of a published DINOv2 size.
    """
    wanted = ["cls_token", "position_embeddings", "patch_embeddings.projection.weight"]
    missing = [f"embeddings.{key}" for key in wanted if f"embeddings.{key}" not in tensors]
    if missing:
        found = some_of(sorted(tensors), 3) or "nothing"
        raise CheckpointError(
            f"{where} is no DINOv2 file: it lacks {some_of(missing)} and holds {found}",
            hint="expected is the original layout (blocks.0.attn.qkv.weight) or the hub's",
        )
    cls, positions, patches = (tensors[f"embeddings.{key}"] for key in wanted)
    width, side = cls.shape[-1], math.isqrt(positions.shape[1] - 1)
    layers = {int(m[1]) for key in tensors if (m := re.match(r"encoder\.layer\.(\d+)\.", key))}
    depth, gated = SIZES.get(width, (0, False))
    if (len(layers), patches.shape[-1], side**2 + 1) != (depth, PATCH, positions.shape[1]):
        raise CheckpointError(
            f"{where} is no DINOv2 file: its width is {width}, its depth {len(layers)} and its "
            f"patches {patches.shape[-1]}; DINOv2 has 384 x 12, 768 x 12, 1024 x 24 or 1536 x 40 "
            f"and patches of {PATCH}"
        )
    registers = tensors.get("embeddings.register_tokens")
    return {
        "hidden_size": width,
        "num_hidden_layers": depth,
        "num_attention_heads": width // HEAD_WIDTH,
        "mlp_ratio": 4,
        "use_swiglu_ffn": gated,
        "patch_size": PATCH,
        "image_size": side * PATCH,
        "num_register_tokens": 0 if registers is None else registers.shape[1],
    }


_PARTS = ("query", "key", "value")


def _without_prefix(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    for prefix in PREFIXES:
        if tensors and all(key.startswith(prefix) for key in tensors):
            return _without_prefix({key[len(prefix) :]: t for key, t in tensors.items()})
    return dict(tensors)


def _renamed(key: str, rules: tuple[tuple[str, str], ...]) -> str:
    for pattern, replacement in rules:
        key = re.sub(pattern, replacement, key)
    return key
