"""From a folder of someone's own photographs to a model file: the stages one after the other.

A student, such as the model in the box, is trained on as it is, by picture terms. A teacher, or
nothing at all, goes through every stage. Each of them is a run of `hfdiff.training.run` in a
folder of its own; what is done is not done again: the same command goes on after an interruption.
"""

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hfdiff.core.errors import SettingsError
from hfdiff.core.files import replacing
from hfdiff.data.tiles import Tiles, cut_tiles
from hfdiff.data.validation import validation_pairs
from hfdiff.metrics.bootstrap import paired_bootstrap
from hfdiff.model.find import find_model
from hfdiff.model.model_file import describe, load_model, save_model
from hfdiff.model.sr_model import SRModel
from hfdiff.nn.identity import IdentityConfig
from hfdiff.nn.lite import LiteCodecConfig
from hfdiff.training.run import resolve, train
from hfdiff.training.settings import RunSettings
from hfdiff.training.validation import METRIC_NAMES, load_metrics, score_pairs, upscaler_way

_log = logging.getLogger(__name__)
MODEL = "model.safetensors"
PARTS: Mapping[str, str] = {  # name of a part: the stage that it runs
    "autoencoder": "autoencoder",
    "teacher": "teacher",
    "latent": "distill",
    "student": "distill",
}
_ABOUT = "tune.json"
_IN_MEMORY = 3000  # tiles: 0.8 MB each
_LATENT_ONLY: Mapping[str, Any] = {
    "terms": {"distill": 1.0, "inv": 0.05, "con": 0.2, "anchor": 0, "l1": 0, "lpips": 0}
    | {"adversarial": 0},
    "train_decoder": False,
    "part": 0,
    "iterations": 300,
}
_NOTHING = "none"
# Without a teacher, and without the encoder of the gt that shipped models leave out.
_PICTURES_ONLY = {"terms": {"distill": 0, "inv": 0, "con": 0, "anchor": 0, "l1": 0.2}}
# A model that knows photographs already needs little, and forgets by large steps.
_GENTLE: Mapping[str, Mapping[str, Any]] = {
    "autoencoder": {"iterations": 300, "batch": 16},
    "teacher": {"iterations": 600, "batch": 16, "data": {"gt_size": 128}},
    "latent": {"iterations": 200, "batch": 16, "data": {"gt_size": 128}},
    "student": {"iterations": 600, "batch": 16, "data": {"gt_size": 128}, "part": 16},
}
_GENTLE_RATE = {"optimiser": {"learning_rate": 1e-4}, "checkpoint_every": 50}


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """What is asked for.

    Attributes:
        folder: Of photographs.
        out: Folder of the work and of its result.
        start: Model file of a student, or of a teacher with both encoders; "": the model in the
            box; ``none``: everything is learned anew.
        preset: Of every stage: ``lite`` or ``tiny``.
        changes: ``PART.KEY=VALUE`` for the settings of a part, see `PARTS`.
    """

    folder: Path
    out: Path
    start: str = ""
    preset: str = "lite"
    changes: Sequence[str] = ()


def tune(wanted: Tuning, *, device: str = "auto") -> Path:
    """Do all parts that are not done yet; the finished model file.

    Raises:
        SettingsError: when the folder, the start or a change cannot be used, or ``out`` holds
            another tuning.
        StoppedError: see `Trainer.run`; the same call goes on.
    """
    wanted = replace(wanted, start=_checked_start(wanted.start))
    # Wrong keys and missing weights are met now, not after hours.
    planned = dict(_settings(wanted, Tiles(train=Path("-"), held_out=None)))
    _write_down(wanted)
    least_side = max(settings.data.gt_size for settings in planned.values())
    tiles = cut_tiles([wanted.folder], wanted.out / "pictures", least_side=least_side)
    if tiles.held_out is not None:
        load_metrics()
    made: dict[str, Path] = {}
    for part, settings in _settings(wanted, tiles):
        model = Path(settings.out) / MODEL
        if model.exists():
            _log.info("%s: done already", part)
        else:
            _log.info("%s: %d steps", part, settings.iterations)
            changed = _started(part, settings, made, wanted.start)
            train(PARTS[part], changed, device=device, resume=_has_begun(settings))
        made[part] = model
    return _finish(wanted, made["student"], tiles)


def _settings(wanted: Tuning, tiles: Tiles) -> Iterator[tuple[str, RunSettings]]:
    """Settings of every part, but for what the part before it makes."""
    changes: dict[str, list[str]] = {part: [] for part in PARTS}
    for change in wanted.changes:
        part, dot, rest = change.partition(".")
        if part not in PARTS or not dot:
            raise SettingsError(
                f"{change}: a change must be PART.KEY=VALUE, PART one of {', '.join(PARTS)}"
            )
        changes[part].append(rest)
    parts = parts_of(wanted.start)
    idle = [part for part in PARTS if part not in parts and changes[part]]
    if idle:
        raise SettingsError(f"{changes[idle[0]][0]}: a student that is trained on has no {idle[0]}")
    many = tiles.train.exists() and len(tiles.train.read_text().splitlines()) > _IN_MEMORY
    common: Mapping[str, Any] = {
        # Someone's own pictures are as sharp as the results should be.
        "data": {"root": [str(tiles.train)], "in_memory": not many, "soft": 0}
        | ({"validation": str(tiles.held_out)} if tiles.held_out else {}),
        "validate_every": 0,
    }
    for part in parts:
        stage = PARTS[part]
        values: list[Mapping[str, Any]] = [common, {"out": str(wanted.out / part)}]
        if part == "latent":
            values.append(_LATENT_ONLY)
        if wanted.preset == "lite" and wanted.start:
            values += [_GENTLE[part], _GENTLE_RATE]
        if len(parts) == 1:
            values.append(_PICTURES_ONLY)
        words = [word for value in values for word in _words(value)]
        yield part, resolve(stage, wanted.preset, None, [*words, *changes[part]])


def parts_of(start: str) -> tuple[str, ...]:
    """What has to be trained from a start."""
    is_student = bool(start) and describe(Path(start)).config.role == "student"
    return ("student",) if is_student else tuple(PARTS)


def _words(values: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Nested values as ``key=value`` pairs."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _words(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}={json.dumps(value)}"


def _started(part: str, settings: RunSettings, made: Mapping[str, Path], start: str) -> RunSettings:
    """A part's settings with what it starts from."""
    match part:
        case "autoencoder":
            return replace(settings, start=start)
        case "teacher" if start and describe(Path(start)).config.network is not None:
            return replace(settings, start=str(_joined(made["autoencoder"], Path(start))))
        case "teacher":
            return replace(settings, start=str(made["autoencoder"]))
        case "student" if "latent" not in made:
            return replace(settings, start=start)
        case "latent":
            return replace(settings, start=str(made["teacher"]))
    changes: Any = {"start": str(made["latent"]), "teacher": str(made["teacher"])}
    return replace(settings, **changes)


def _joined(codec_file: Path, teacher_file: Path) -> Path:
    """The tuned autoencoder with the denoiser that it was tuned for, as one model file."""
    (tuned, description), (teacher, _) = load_model(codec_file), load_model(teacher_file)
    path = codec_file.with_name("with_network.safetensors")
    save_model(path, SRModel(teacher.config, teacher.network, tuned.codec), description.card)
    return path


def _finish(wanted: Tuning, student: Path, tiles: Tiles) -> Path:
    """Write the result with its card, and compare it with the model in the box."""
    path = wanted.out / MODEL
    model, description = load_model(student)
    earlier = f"{description.card.data_terms}; then " if description.card.data_terms else ""
    card = replace(
        description.card,
        name=wanted.out.resolve().name,
        data_terms=f"{earlier}pictures of whoever tuned it, on terms that are theirs to know",
    )
    written = save_model(path, model, card)
    if tiles.held_out is not None:
        settings = resolve("distill", wanted.preset, None, []).data
        pairs = validation_pairs(tiles.held_out, settings)
        boxed, about = load_model(find_model())
        ways = {"in_the_box": upscaler_way(boxed, about), "tuned": upscaler_way(model, written)}
        _compare(score_pairs(pairs, ways, wanted.out / "held_out"), len(pairs))
    return path


def _compare(scores: Mapping[str, Sequence[float]], pictures: int) -> None:
    """Say how the two models did on pictures that neither learned from, and how sure that is."""
    for name, values in scores.items():
        _log.info("held out, %d pictures: %s %.4f", pictures, name, sum(values) / pictures)
    for metric in METRIC_NAMES:
        apart = paired_bootstrap(scores[f"tuned/{metric}"], scores[f"in_the_box/{metric}"], seed=0)
        _log.info(
            "tuned - in_the_box: %s %+.4f (95 %%: %+.4f .. %+.4f)",
            *(metric, apart.mean, apart.low, apart.high),
        )


def _checked_start(start: str) -> str:
    """The model file that is meant; "" for none.

    Raises:
        SettingsError: when it cannot be trained on.
    """
    if start == _NOTHING:
        _log.info("everything is learned from these pictures alone")
        return ""
    path = find_model(start or None)
    config = describe(path).config
    if isinstance(config.network, IdentityConfig):
        raise SettingsError(
            f"start: {path.name} has nothing to train",
            hint="name a model file by --start, or --start none to learn everything anew",
        )
    lacks = isinstance(config.codec, LiteCodecConfig) and not config.codec.with_gt_encoder
    if lacks and config.role != "student":
        raise SettingsError(f"start: {start} lacks the encoder of the gt, which was left out")
    return str(path)


def _write_down(wanted: Tuning) -> None:
    """Keep what was asked for, or refuse to go on with something else."""
    asked = {
        "folder": str(wanted.folder.resolve()),
        "start": str(Path(wanted.start).resolve()) if wanted.start else "",
        "preset": wanted.preset,
        "changes": list(wanted.changes),
    }
    path = wanted.out / _ABOUT
    if not path.exists():
        wanted.out.mkdir(parents=True, exist_ok=True)
        with replacing(path) as scratch:
            scratch.write_text(json.dumps(asked, indent=2) + "\n", encoding="utf-8")
        return
    written = json.loads(path.read_text(encoding="utf-8"))
    other = [key for key in asked if written.get(key) != asked[key]]
    if other:
        raise SettingsError(
            f"{wanted.out} holds a tuning with another {', '.join(other)}",
            hint="name another output folder, or give what was given then",
        )


def _has_begun(settings: RunSettings) -> bool:
    return any((Path(settings.out) / "checkpoints").glob("step-*"))
