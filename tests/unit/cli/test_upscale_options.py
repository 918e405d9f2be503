"""users 6.5.10: no option of `upscale` is parsed and then forgotten, for a file or for a folder."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import typer.main
from PIL import Image
from typer.testing import CliRunner

from hfdiff.cli.main import app
from hfdiff.diffusion.schedule import ScheduleConfig
from hfdiff.model.build import build_model
from hfdiff.model.model_file import save_model
from hfdiff.upscaling.ledger import LEDGER_NAME
from small_models import CARD, SMALL, small_model


@dataclass(frozen=True)
class Pair:
    """Two ways to call, and what must be told apart or be the same between them."""

    one: tuple[str, ...]
    other: tuple[str, ...]
    same: bool = False
    prints: bool = False  # compare what is printed instead of the files
    folder_only: bool = False


CASES = {
    "input": Pair((), ("-i", "in2/extra.png")),
    "output": Pair((), ("-o", "other")),
    "model": Pair((), ("-m", "identity")),
    "scale": Pair(("-s", "2"), ("-s", "3")),
    "size": Pair(("--size", "40x"), ("--size", "x40")),
    "min_size": Pair(("--min-size", "20x"), ("--min-size", "x40")),
    "max_size": Pair(("--max-size", "20x"), ("--max-size", "x40")),
    "seed": Pair(("--seed", "1"), ("--seed", "2")),
    "steps": Pair(("--steps", "1"), ("--steps", "3")),
    "tile": Pair(("-t", "8", "--overlap", "2"), ("-t", "0", "--overlap", "2")),
    "overlap": Pair(("-t", "8", "--overlap", "2"), ("-t", "8", "--overlap", "4")),
    "batch": Pair(("--batch", "1"), ("--batch", "2"), same=True),  # helps GPUs, changes nothing
    "fidelity": Pair((), ("--fidelity", "0.5")),
    "color_fix": Pair((), ("--color-fix",)),
    "device": Pair(("-g", "cpu"), ("-g", "-1"), same=True),
    "dtype": Pair((), ("--dtype", "bfloat16")),
    "fp32": Pair((), ("--fp32",), same=True),  # what is the default already
    "format": Pair(("-f", "png"), ("-f", "tiff")),
    "quality": Pair(("-f", "jpg"), ("-f", "jpg", "--quality", "40")),
    "suffix": Pair((), ("--suffix", "_s")),
    "overwrite": Pair((), ("--overwrite",)),
    "resume": Pair((), ("--resume",), prints=True),
    "strip_metadata": Pair((), ("--strip-metadata",)),
    "provenance": Pair((), ("--no-provenance",)),
    "dry_run": Pair((), ("--dry-run",)),
    "recursive": Pair((), ("--no-recursive",), folder_only=True),
    "json": Pair((), ("--json",), prints=True),
    "quiet": Pair((), ("--quiet",), prints=True),
}
IGNORED = {"inputs", "help"}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A small teacher whose tiles have no halo, so that every option can show."""
    path = tmp_path_factory.mktemp("model") / "small.safetensors"
    schedule = ScheduleConfig(steps=4, min_noise=0.2)
    config = replace(SMALL["lite student"], role="teacher", schedule=schedule, halo=0)
    teacher = build_model(config)
    teacher.load_state_dict(small_model("lite student").state_dict())
    save_model(path, teacher, CARD)
    return path


@pytest.fixture(autouse=True)
def _pictures(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for name in ("in/a.png", "in/deep/b.png", "in2/extra.png"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (12, 14, 3), dtype=np.uint8)).save(name)


def outcome(source, arguments, model, folder, *, existing):
    """Every file that was made, by its name, and what was printed."""
    folder = Path(folder)
    (folder / "out").mkdir(parents=True)
    if existing:
        (folder / "out" / "a.png").write_bytes(b"there already")
    rest = [str(folder / "other") if part == "other" else part for part in arguments]
    rest += [] if "-o" in rest else ["-o", str(folder / "out")]
    rest += [] if "-m" in rest else ["-m", str(model)]
    done = CliRunner().invoke(app, ["upscale", source, *rest], prog_name="hfdiff")
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    made = {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != LEDGER_NAME  # which has times
    }
    return made, done.output


@pytest.mark.parametrize("source", ["in/a.png", "in"])
@pytest.mark.parametrize("name", CASES)
def test_an_option_does_what_it_says_for_a_file_and_for_a_folder(model, name, source):
    case = CASES[name]
    if case.folder_only and source != "in":
        return
    existing = name in ("overwrite", "resume")

    one, printed = outcome(source, case.one, model, "one", existing=existing)
    other, printed_too = outcome(source, case.other, model, "two", existing=existing)

    assert one
    if case.prints:
        assert one == other
        assert printed != printed_too
    else:
        assert (one == other) == case.same


@pytest.mark.parametrize("name", sorted(set(CASES) - {"dry_run", "input", "recursive"}))
def test_a_file_and_its_folder_agree(model, name):
    """The bytes of a picture do not depend on how it was named."""
    case = CASES[name]
    for number, arguments in enumerate((case.one, case.other)):
        alone, _ = outcome("in/a.png", arguments, model, f"alone{number}", existing=False)
        among, _ = outcome("in", arguments, model, f"among{number}", existing=False)

        assert alone
        assert alone.items() <= among.items()


def test_every_option_has_a_case_here():
    command = typer.main.get_command(app).commands["upscale"]
    names = {parameter.name for parameter in command.params} - IGNORED
    short = {name.removeprefix("as_").removesuffix("_option") for name in names}

    assert {"format" if name == "file_format" else name for name in short} == set(CASES)
