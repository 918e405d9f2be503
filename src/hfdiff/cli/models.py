"""``hfdiff models``: what is in the box."""

import typer


def models() -> None:
    """List the models in the box, the default first.

    Example: hfdiff models
    """
    from hfdiff.model.find import DEFAULT_MODEL, bundled_models

    for name, path in sorted(bundled_models().items(), key=lambda item: item[0] != DEFAULT_MODEL):
        size = path.stat().st_size / 1e6
        mark = "  (default)" if name == DEFAULT_MODEL else ""
        typer.echo(f"{name}  {size:.1f} MB{mark}")
