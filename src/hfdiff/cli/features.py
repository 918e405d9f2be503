"""``hfdiff features``: a sheet of the feature maps of the extractor H (the paper's Figure 5)."""

from pathlib import Path
from typing import Annotated

import typer

from hfdiff.core.errors import SettingsError


def features(
    picture: Annotated[Path, typer.Argument(metavar="PICTURE", help="What H looks at.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The sheet, a PNG file.")],
    model: Annotated[
        Path, typer.Option("-m", "--model", "-n", help="The extractor's model file or folder.")
    ],
    channels: Annotated[
        int,
        typer.Option("--channels", min=0, help="Maps shown, those of widest range; 0: all."),
    ] = 31,
    columns: Annotated[int, typer.Option("--columns", min=1, help="Tiles in a row.")] = 8,
    side: Annotated[
        int,
        typer.Option(
            "--side", metavar="PIXELS", min=0, help="Middle of the picture shown; 0: all of it."
        ),
    ] = 256,
    device: Annotated[
        str, typer.Option("--device", "-g", help="auto, cpu, cuda:0 or mps.")
    ] = "auto",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Write the sheet anew if it exists.")
    ] = False,
) -> None:
    """Draw what the high-frequency extractor sees in a picture.

    Maps are shown pixel for pixel; black and white are the quantiles of 1 % and 99 % that stand
    below each.

    Example: hfdiff features photo.jpg -m extractor.safetensors -o sheet.png
    """
    from hfdiff.core.devices import resolve_device
    from hfdiff.evaluation.figures import feature_sheet
    from hfdiff.evaluation.pairs import read_rgb_01
    from hfdiff.imaging.files import write_picture
    from hfdiff.imaging.picture import Picture
    from hfdiff.model.extractor_file import load_extractor

    _check_output(output, overwrite=overwrite)
    place = resolve_device(device)
    extractor, description = load_extractor(model)
    picture_01 = read_rgb_01(picture)
    height, width = picture_01.shape[-2:]
    high, wide = min(height, side or height), min(width, side or width)
    top, left = (height - high) // 2, (width - wide) // 2
    seen_01 = picture_01[..., top : top + high, left : left + wide]
    sheet = feature_sheet(
        extractor.to(place), seen_01.to(place), channels=channels, columns=columns
    )
    write_picture(Picture(samples=sheet), output, "PNG")
    shown = channels or description.config.invertible.width
    typer.echo(
        f"{output}  {min(shown, description.config.invertible.width)} of "
        f"{description.config.invertible.width} maps of {wide}x{high} pixels at ({left}, {top})"
    )


def _check_output(path: Path, *, overwrite: bool) -> None:
    """Before the work, not after it."""
    if path.suffix.lower() != ".png":
        raise SettingsError(f"the sheet is a PNG file: {path} must end in .png")
    if path.exists() and not overwrite:
        raise SettingsError(f"{path} exists", hint="use --overwrite to write it anew")
