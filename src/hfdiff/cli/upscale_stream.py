"""``hfdiff upscale`` where - stands for standard input or standard output."""

import contextlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import typer

from hfdiff.cli.shown import shown
from hfdiff.core.errors import (
    CheckpointError,
    ImageError,
    MissingExtraError,
    ResourceError,
    SettingsError,
)

if TYPE_CHECKING:
    from hfdiff.imaging.files import Header
    from hfdiff.upscaling.options import Naming, UpscaleOptions, Writing
    from hfdiff.upscaling.work import Account


def upscale_stream(
    source: str,
    naming: "Naming",
    options: "UpscaleOptions",
    load: dict[str, Any],
    writing: "Writing",
) -> None:
    """One picture where - stands for standard input, or for standard output, or both."""
    import io
    import shutil

    from hfdiff.imaging.files import read_header, read_picture

    if source != "-" and Path(source).is_dir():
        raise SettingsError(f"- takes one picture, got the folder {source}", hint="name a folder")
    if _is_stdout(naming.output) and sys.stdout.isatty():
        raise SettingsError(
            "standard output is a terminal, which shows no pictures", hint="add > NAME or -o NAME"
        )
    load["model"] = found_model(load["model"])
    content = io.BytesIO(sys.stdin.buffer.read()) if source == "-" else Path(source)
    target, wanted, notes = _stream_target(read_header(content), naming)
    from hfdiff.upscaling.outputs import write_enlarged, write_output
    from hfdiff.upscaling.upscaler import Upscaler

    upscaler = Upscaler.from_pretrained(**load)
    picture = read_picture(content)

    def write(stream: IO[bytes]) -> "Account":
        return write_enlarged(upscaler, picture, stream, wanted, options, writing)

    if target is None:
        account, gathered = _gathered(write)
        with gathered:
            shutil.copyfileobj(gathered, sys.stdout.buffer)
    else:
        account = write_output(target, write)
    for note in (*notes, *account.notes):
        typer.echo(shown(f"note: {note}"), err=True)


def _gathered(write: Callable[[IO[bytes]], "Account"]) -> tuple["Account", IO[bytes]]:
    """The output whole, before its first byte goes out; in a file, as it may be large."""
    import tempfile

    stream = tempfile.TemporaryFile()  # noqa: SIM115  (whoever copies it closes it)
    try:
        account = write(stream)
        stream.seek(0)  # what was held back is written now
    except OSError as error:
        with contextlib.suppress(OSError):  # it would try once more
            stream.close()
        raise ResourceError(
            f"the output cannot be gathered in {tempfile.gettempdir()}: {error.strerror}",
            hint="set TMPDIR to a folder with room",
        ) from error
    return account, stream


def _is_stdout(output: Path | None) -> bool:
    return output is None or str(output) == "-"


def _stream_target(header: "Header", naming: "Naming") -> tuple[Path | None, str, tuple[str, ...]]:
    """Where one picture goes (None: standard output), its format, and notes on both."""
    from hfdiff.imaging.files import PICTURE_SUFFIXES
    from hfdiff.upscaling.names import check_ending, choose_format, fitting_name

    single = naming.output
    if single is None or _is_stdout(single):
        return (None, *choose_format(header, naming))
    if single.is_dir():
        raise SettingsError(f"- has no name for a file in the folder {single}", hint="name a file")
    if naming.format is None and single.suffix.lower() not in PICTURE_SUFFIXES:
        raise SettingsError(f"the name {single} tells no format", hint="add --format png")
    check_ending(single, naming)
    wanted, notes = choose_format(header, naming, single)
    target = fitting_name(single, wanted)
    if target.exists() and not target.is_file():
        raise ImageError(f"the output {target} is no regular file")
    if target.exists() and not naming.overwrite:
        raise ImageError(f"{target} exists", hint="--overwrite makes existing outputs anew")
    return target, wanted, notes if target == single else (*notes, f"the output is {target}")


def found_model(model: str | None) -> Path:
    """The model's file or folder; an extra that is missing for that is a model not loadable."""
    from hfdiff.model.find import find_model

    try:
        return find_model(model)
    except MissingExtraError as error:
        raise CheckpointError(str(error), hint=error.hint) from error
