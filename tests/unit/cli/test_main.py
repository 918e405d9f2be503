"""Every error is one line, a hint where there is one, and the exit code of its kind."""

import errno
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from hfdiff.cli import main
from hfdiff.core.errors import (
    CheckpointError,
    HFDiffError,
    ImageError,
    MissingExtraError,
    ResourceError,
    SettingsError,
)
from hfdiff.model.document import read_document
from hfdiff.model.find import find_model
from hfdiff.model.model_file import write_described

HFDIFF = Path(sys.executable).with_name("hfdiff")


@pytest.fixture(autouse=True)
def _no_debug(monkeypatch):
    monkeypatch.delenv("HFDIFF_DEBUG", raising=False)


def run(monkeypatch, capsys, *arguments):
    """The command in this process: exit code, standard output, standard error."""
    monkeypatch.setattr(sys, "argv", ["hfdiff", *arguments])
    with pytest.raises(SystemExit) as caught:
        main.run()
    captured = capsys.readouterr()
    return caught.value.code or 0, captured.out, captured.err


def failing_with(monkeypatch, capsys, error):
    def fail():
        raise error

    monkeypatch.setattr(main, "app", fail)
    return run(monkeypatch, capsys)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SettingsError("no"), 2),
        (CheckpointError("no"), 3),
        (ImageError("no"), 1),
        (ResourceError("no"), 1),
        (MissingExtraError("no"), 1),
        (HFDiffError("no"), 1),
    ],
)
def test_the_exit_code_tells_the_kind_of_error(monkeypatch, capsys, error, code):
    assert failing_with(monkeypatch, capsys, error) == (code, "", "error: no\n")


def test_a_hint_is_a_second_line(monkeypatch, capsys):
    _, _, said = failing_with(monkeypatch, capsys, SettingsError("no", hint="try yes"))

    assert said == "error: no\nhint: try yes\n"


def test_a_message_of_several_lines_is_said_in_one(monkeypatch, capsys):
    _, _, said = failing_with(monkeypatch, capsys, CheckpointError("no\nand\nno", hint="a\nb"))

    assert said == "error: no and no\nhint: a b\n"


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device"),
            "error: output: No space left on device",
        ),
        (
            PermissionError(errno.EACCES, "Permission denied", "/a/b"),
            "error: /a/b: Permission denied",
        ),
        (MemoryError(), "error: not enough memory"),
    ],
)
def test_what_the_machine_lacks_is_one_sentence(monkeypatch, capsys, error, line):
    assert failing_with(monkeypatch, capsys, error) == (1, "", f"{line}\n")


def test_an_error_that_nobody_thought_of_is_one_line_too(monkeypatch, capsys):
    code, _, said = failing_with(monkeypatch, capsys, RuntimeError("odd\nand odd"))

    assert code == 1
    assert said == (
        "error: RuntimeError: odd and odd\nhint: hfdiff --debug COMMAND ... shows where\n"
    )


@pytest.mark.parametrize("error", [SettingsError("no"), RuntimeError("odd")])
def test_debugging_shows_where(monkeypatch, error):
    monkeypatch.setenv("HFDIFF_DEBUG", "1")

    def fail():
        raise error

    monkeypatch.setattr(main, "app", fail)
    with pytest.raises(type(error)):
        main.run()


def test_a_command_ends_without_a_last_look_through_memory():
    code = """import atexit, gc, sys
atexit.register(lambda: print(gc.get_freeze_count() > 1000))
from hfdiff.cli.main import run
sys.argv = ["hfdiff", "--version"]
run()"""

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert done.returncode == 0
    assert done.stdout.splitlines()[-1] == "True"


def test_the_version_is_printed(monkeypatch, capsys):
    from hfdiff import __version__

    assert run(monkeypatch, capsys, "--version") == (0, f"hfdiff {__version__}\n", "")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["upscale", "--scal", "4"], "No such option: --scal (Possible options: --scale)"),
        (["upscal"], "No such command 'upscal'"),
        (["upscale", "a.png", "--tile", "many"], "Invalid value for '-t' / '--tile'"),
        (["upscale", "a.png", "--quality", "101"], "Invalid value for '--quality'"),
        (["convert"], "Missing argument"),
        (["upscale"], "error: no input given"),
        (["upscale", "a.png", "-o", ""], "error: the output has no name"),
        (["upscale", "a.png", "--fp32", "--dtype", "bfloat16"], "contradict each other"),
    ],
)
def test_wrong_use_exits_2_and_says_what(monkeypatch, capsys, arguments, said):
    code, out, error = run(monkeypatch, capsys, *arguments)

    assert code == 2
    assert out == ""
    assert said in error


WITHOUT_TORCH = (
    "import sys\n"
    "from hfdiff.cli.main import run\n"
    "try:\n    run()\nexcept SystemExit as e:\n    code = e.code\n"
    "sys.exit(code if 'torch' not in sys.modules else 99)"
)


def test_no_picture_is_poured_onto_a_terminal(monkeypatch, capsys, tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)

    code, out, error = run(monkeypatch, capsys, "upscale", str(tmp_path / "a.png"), "-o", "-")

    assert (code, out) == (2, "")
    assert error.startswith("error: standard output is a terminal, which shows no pictures\n")


def test_wrong_use_is_found_before_torch_is_imported():
    """users 6.4.2: options, sizes and formats need no network."""
    for arguments in (
        ["upscale", "--nonsense"],
        ["upscale", "a.png", "--size", "big"],
        ["upscale", "a.png", "--scale", "99"],
        ["upscale", "a.png", "--format", "doc"],
    ):
        command = [sys.executable, "-c", WITHOUT_TORCH, *arguments]
        assert subprocess.run(command, capture_output=True, check=False).returncode == 2, arguments


@pytest.mark.parametrize("more", [[], ["--dry-run"], ["-o", "-"]])
def test_what_is_refused_is_refused_before_torch_is_imported(tmp_path, more):
    (tmp_path / "a.png").write_bytes(b"no picture")

    command = [sys.executable, "-c", WITHOUT_TORCH, "upscale", str(tmp_path / "a.png"), *more]

    assert subprocess.run(command, capture_output=True, check=False).returncode == 1


def test_a_broken_model_is_said_where_no_picture_is_left_either(tmp_path, monkeypatch, capsys):
    """A file that states a plain scale and is no model all the same."""
    (tmp_path / "a.png").write_bytes(b"no picture")
    document = read_document(find_model("lite"))
    document["config"]["nonsense"] = 1
    write_described(tmp_path / "b.safetensors", {}, document)
    given = [str(tmp_path / "a.png"), "-m", str(tmp_path / "b.safetensors")]

    code, _, error = run(monkeypatch, capsys, "upscale", *given)

    assert code == 3
    assert "b.safetensors" in error


def test_without_a_command_the_help_is_shown(monkeypatch, capsys):
    code, out, error = run(monkeypatch, capsys)

    assert code == 2
    assert "Usage: hfdiff" in out + error


def test_an_interruption_exits_130(monkeypatch, capsys):
    from hfdiff.model import find

    def interrupt():
        raise KeyboardInterrupt

    monkeypatch.setattr(find, "bundled_models", interrupt)

    code, _, error = run(monkeypatch, capsys, "models")

    assert code == 130
    assert "Traceback" not in error


def test_a_reader_that_goes_away_is_no_error_of_ours():
    """As in `hfdiff models | head -0`."""
    program = f"{HFDIFF} models | true; echo ${{PIPESTATUS[0]}}"

    done = subprocess.run(["bash", "-c", program], capture_output=True, text=True, check=True)

    assert "Traceback" not in done.stderr
