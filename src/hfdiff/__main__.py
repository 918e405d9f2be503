"""``python -m hfdiff`` is the ``hfdiff`` command."""

from hfdiff.cli.main import run

run()
