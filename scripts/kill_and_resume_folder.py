"""Kill `hfdiff upscale` on a folder at random moments, go on by --resume, and compare.

    python scripts/kill_and_resume_folder.py --pictures 60 --kills 20

A folder must end with the same files as by an undisturbed run, byte by byte; no partial file under
any name; nothing that was finished is written again. Exit code 0: it did.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image


def main() -> int:
    """Run it."""
    arguments = _arguments()
    folder = Path(arguments.folder or tempfile.mkdtemp(prefix="kill-and-resume-"))
    photographs, whole, killed = folder / "in", folder / "undisturbed", folder / "killed"
    chance = random.Random(arguments.seed)
    _draw(photographs, arguments.pictures, chance)
    command = [sys.executable, "-m", "hfdiff", "upscale", str(photographs), "--quiet", "-t", "96"]
    command += ["--device", "cpu", *arguments.options]

    begin = time.monotonic()
    _finish([*command, "-o", str(whole)])
    seconds = time.monotonic() - begin
    print(f"undisturbed: {arguments.pictures} pictures in {seconds:.1f} s")
    twice = 0
    for number in range(1, arguments.kills + 1):
        before = _outputs(killed)
        goal = len(before) + chance.randrange(max(1, arguments.pictures // arguments.kills))
        _kill([*command, "-o", str(killed), "--resume"], killed, goal, chance.uniform(0, 0.3))
        after = _outputs(killed)
        twice += sum(after.get(name) != state for name, state in before.items())
        unfinished = len(list(killed.rglob(".hfdiff-*")))
        print(f"kill {number}: {len(after)} done, {unfinished} unfinished")
    before = _outputs(killed)
    _finish([*command, "-o", str(killed), "--resume"])
    after = _outputs(killed)
    twice += sum(after.get(name) != state for name, state in before.items())
    return _compare(whole, killed, twice)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("options", nargs="*", help="further options of hfdiff upscale, after --")
    parser.add_argument("--pictures", type=int, default=60)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="of pictures and moments")
    parser.add_argument("--folder", help="where to work; kept")
    return parser.parse_args()


def _draw(folder: Path, count: int, chance: random.Random) -> None:
    """Pictures of mixed sizes and formats, some in a folder of their own."""
    for number in range(count):
        width, height = chance.randrange(40, 400), chance.randrange(40, 400)
        rng = np.random.default_rng(number)
        samples = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        name = f"{number:03}.{('png', 'jpg', 'webp', 'tif')[number % 4]}"
        path = folder / ("deep" if number % 5 == 0 else ".") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(samples).save(path)


def _outputs(folder: Path) -> dict[str, tuple[int, int]]:
    """Files under final names, with what changes when one is written again."""
    states = {path: path.stat() for path in _files(folder) if not path.name.startswith(".")}
    return {str(path): (state.st_mtime_ns, state.st_ino) for path, state in states.items()}


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _kill(command: list[str], folder: Path, goal: int, more: float) -> None:
    """Start, wait for so many outputs and some seconds more, and kill without warning."""
    process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL)
    while len(_outputs(folder)) < goal and process.poll() is None:
        time.sleep(0.002)
    time.sleep(more)
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _finish(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stderr}")


def _compare(whole: Path, killed: Path, twice: int) -> int:
    wanted, ours = (
        {path.relative_to(folder): path.read_bytes() for path in _files(folder)}
        for folder in (whole, killed)
    )
    ledger = Path(".hfdiff.jsonl")
    left = [path for path in ours if path.name.startswith(".") and path != ledger]
    different = [path for path in wanted if path != ledger and ours.get(path) != wanted[path]]
    more = ours.keys() - wanted.keys() - set(left)
    print(f"files: {len(wanted) - 1 - len(different)} of {len(wanted) - 1} equal byte by byte")
    print(f"half written files left: {len(left)}; files of no input: {len(more)}")
    print(f"finished outputs written again: {twice}")
    return int(bool(different or left or more or twice))


if __name__ == "__main__":
    sys.exit(main())
