"""``hfdiff convert``: published .pth files into one model file."""

from pathlib import Path
from typing import Annotated

import typer


def convert(
    unet: Annotated[Path, typer.Argument(help="ResShift or SinSR weights (.pth).")],
    autoencoder: Annotated[Path, typer.Option("-a", "--autoencoder", help="autoencoder_vq_f4.pth")],
    output: Annotated[Path, typer.Option("-o", "--output", help="NAME.safetensors, or a folder.")],
    release: Annotated[
        str | None,
        typer.Option("--release", help="Release file name, where the file was renamed."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the output.")] = False,
) -> None:
    """Make a model file of published weights; nothing in them is executed.

    Example: hfdiff convert SinSR_v1.pth -a autoencoder_vq_f4.pth -o sinsr.safetensors
    """
    from hfdiff.core.errors import SettingsError
    from hfdiff.model.convert.assemble import convert_published
    from hfdiff.model.model_file import save_model

    if output.exists() and not overwrite:
        raise SettingsError(f"{output} exists", hint="use --overwrite to replace it")
    model, card = convert_published(unet, autoencoder, release=release)
    save_model(output, model, card)
    counts = (
        sum(parameter.numel() for parameter in part.parameters())
        for part in (model.network, model.codec)
    )
    typer.echo(f"{output}: {card.name}, {' + '.join(f'{count:,}' for count in counts)} parameters")
    typer.echo(f"licence: {card.licence}")
