"""Where each number of preset ``paper`` is from, for ``--print-config``."""

from collections.abc import Iterator, Mapping
from typing import Any

from hfdiff.core.settings import plain, to_yaml
from hfdiff.training.settings import RunSettings

_MEMORY = "changes memory, not the result"
_OPEN = "not stated; ours"
_RESSHIFT = "ResShift's configuration"
_SINSR = "SinSR's configuration, as HF-Diff has it (4.1)"
_LDM = "latent-diffusion's VQ-f4"
_RECIPE = "ResShift's and SinSR's, with Real-ESRGAN's pipeline (4.1)"
_DRAWS = ("crop", "draws", "pool_batches")


def _optimiser(source: str) -> dict[str, str]:
    names = ("learning_rate", "betas", "warmup", "rise", "final")
    return {f"optimiser.{name}": source for name in names}


def _common(source: str) -> dict[str, str]:
    names = ("seed", "ema", "ema_warmup", "precision")
    return {
        **dict.fromkeys(names, source),
        **_optimiser(source),
        **{f"data.{key}": _RECIPE for key in ("gt_size", "degradation", *_DRAWS)},
    }


SOURCES: Mapping[str, Mapping[str, str]] = {
    "autoencoder": {
        **_common(_LDM),
        "seed": _OPEN,
        "data.gt_size": _LDM,
        "data.degradation": "means nothing to a published autoencoder",
        "data.crop": _OPEN,
        "data.draws": "means nothing to a published autoencoder",
        "data.pool_batches": "means nothing to a published autoencoder",
        "codec": "the published sizes: 55,322,782 parameters",
        "iterations": _OPEN,
        "batch": _LDM,
        "latent_noise": f"{_LDM} has none",
        "l1": _LDM,
        "lpips": _LDM,
        "codebook": _LDM,
        "adversarial": _LDM,
        "lpips_part": _LDM,
        "lpips_stages": _LDM,
        "discriminator": f"{_LDM}: a patch discriminator of three layers",
    },
    "teacher": {
        **_common(_RESSHIFT),
        "network": "the published sizes: 118,593,583 parameters (Table 5)",
        "schedule": f"{_RESSHIFT}: 15 steps",
        "iterations": "ResShift's first model",
        "batch": _RESSHIFT,
        "micro_batch": _RESSHIFT,
        "tile": _RESSHIFT,
        "overlap": _RESSHIFT,
        "halo": _RESSHIFT,
        "mse": _RESSHIFT,
        "lq": "a published encoder is not trained here",
    },
    "extractor": {
        **_optimiser("HF-Diff 4.1"),
        "optimiser.betas": "Adam's own (4.1)",
        "optimiser.decay": "HF-Diff 4.1",
        "optimiser.decay_every": "HF-Diff 4.1",
        "iterations": "HF-Diff 4.1: 20 epochs of 1,281,167 pictures",
        "batch": "HF-Diff 4.1",
        "ema": "none is mentioned",
        "data.gt_size": _OPEN,
        "labels.by": "Algorithm 2: ImageNet's classes",
        "labels.crop": _OPEN,
        "extractor.invertible.width": "HF-Diff 4.1: N",
        "extractor.invertible.modules": f"K: {_OPEN}",
        "extractor.invertible.split": "n: half of N, as in the network of [76]",
        "extractor.invertible.maps": "3.3",
        "extractor.invertible.mix": "Eq. 5",
        "extractor.invertible.log_scale_bound": "ours: Eq. 5 has none",
        "head": f"C_l and FC of Algorithm 2: {_OPEN}",
    },
    "distill": {
        **_common(_SINSR),
        "iterations": "HF-Diff 4.1",
        "batch": "HF-Diff 4.1",
        "micro_batch": _MEMORY,
        "chunk": _MEMORY,
        "terms.distill": "Eqs. 3 and 9",
        "terms.inv": "Eqs. 7 and 9",
        "terms.con": "Eqs. 8 and 9",
        "terms.hf": "Eqs. 6 and 9: eta_1",
        "terms.js_dino": "Eqs. 4 and 9: eta_2",
        "branch": "Eq. 6 and Figure 2; Algorithm 1 has consistency",
        "features.hf_normalize": "Eq. 6",
        "features.hf_poses": "Eq. 6",
        "features.dino_input": _OPEN,
        "features.js": f"P_SR and P_GT: {_OPEN}",
    },
}


def with_sources(stage: str, settings: RunSettings, paper: RunSettings) -> str:
    """Settings as YAML, with the source behind each that is as in preset ``paper``."""
    given, published = dict(_flat(plain(settings))), dict(_flat(plain(paper)))
    same = {key for key, value in given.items() if published.get(key) == value}
    lines = []
    for key, line in _keys(to_yaml(settings)):
        source = SOURCES[stage].get(key) if key in same else None
        lines.append(f"{line}  # {source}" if source else line)
    return "\n".join([*lines, ""])


def _keys(text: str) -> Iterator[tuple[str, str]]:
    """Every line of a block-style YAML document with the dotted key that it begins."""
    path: list[str] = []
    for line in text.splitlines():
        content = line.lstrip()
        key, sign, _ = content.partition(":")
        if sign and not content.startswith("- "):
            path = [*path[: (len(line) - len(content)) // 2], key]
            yield ".".join(path), line
        else:
            yield "", line


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every part and every value by its dotted key."""
    for key, value in values.items():
        yield f"{prefix}{key}", value
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
