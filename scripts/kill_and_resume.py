"""Kill a training run at random moments, resume it each time, and compare with an undisturbed run.

    python scripts/kill_and_resume.py teacher --kills 20 start=ae.safetensors data.root=[photos]

Settings are given to ``hfdiff train STAGE --preset tiny``. A run must end with the same weights,
averages and optimiser moments to the bit, and with the same log, however often it was killed.
Exit code 0: it did.
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

import torch

from hfdiff.core.weights import read_weights
from hfdiff.training.log import read_log


def main() -> int:
    """Run it."""
    arguments = _arguments()
    folder = Path(arguments.folder or tempfile.mkdtemp(prefix="kill-and-resume-"))
    whole, killed = folder / "undisturbed", folder / "killed"
    command = [sys.executable, "-m", "hfdiff", "train", arguments.stage, "--preset", "tiny"]
    command += ["--device", "cpu", "--threads", "1"]
    command += [f"iterations={arguments.iterations}", f"checkpoint_every={arguments.every}"]
    command += ["keep=2", "validate_every=0", *arguments.settings]

    begin = time.monotonic()
    _finish([*command, f"out={whole}"])
    seconds = time.monotonic() - begin
    print(f"undisturbed: {arguments.iterations} steps in {seconds:.0f} s")

    chance = random.Random(arguments.seed)
    for number in range(1, arguments.kills + 1):
        moment = _kill([*command, f"out={killed}", "--resume"], killed, chance, arguments.every)
        print(f"kill {number}: {moment}")
    _finish([*command, f"out={killed}", "--resume"])
    return _compare(whole, killed, arguments.iterations)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("stage", choices=["autoencoder", "teacher", "extractor", "distill"])
    parser.add_argument("settings", nargs="*", metavar="KEY=VALUE")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--iterations", type=int, default=600)
    parser.add_argument("--every", type=int, default=10, help="steps between checkpoints")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--folder", help="where to work; kept")
    return parser.parse_intermixed_args()


def _kill(command: list[str], run: Path, chance: random.Random, every: int) -> str:
    """Start, wait for some steps and a random moment more, and kill without warning.

    Killed at the very start it would never get anywhere: at least one checkpoint further is waited
    for in two kills of three.
    """
    process = subprocess.Popen(
        command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    before = _steps(run)
    goal = before + (chance.randrange(1, 2 * every) if chance.random() < 2 / 3 else 0)
    while _steps(run) < goal and process.poll() is None:
        time.sleep(0.01)
    time.sleep(chance.uniform(0, 0.3))
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    newest = max((path.stem for path in run.glob("checkpoints/step-*")), default="none")
    unfinished = len(list(run.glob("checkpoints/.hfdiff-*")))
    return (
        f"exit {process.returncode} after step {_steps(run)}, newest checkpoint {newest}, "
        f"unfinished writes {unfinished}"
    )


def _steps(run: Path) -> int:
    log = run / "metrics.csv"
    return max((row[0] for row in read_log(log)), default=0) if log.exists() else 0


def _finish(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stderr}")


def _compare(whole: Path, killed: Path, iterations: int) -> int:
    name = f"checkpoints/step-{iterations:08d}.safetensors"
    ours, theirs = (read_weights(run / name)[0] for run in (killed, whole))
    if ours.keys() != theirs.keys():
        print("the checkpoints hold different tensors")
        return 1
    different = [key for key in theirs if not torch.equal(ours[key], theirs[key])]
    logs = [_comparable(run) for run in (killed, whole)]
    models = [(run / "model.safetensors").read_bytes() for run in (killed, whole)]
    print(f"tensors: {len(theirs) - len(different)} of {len(theirs)} equal to the bit")
    print(f"log: {'equal' if logs[0] == logs[1] else 'different'}, {len(logs[1])} rows")
    print(f"model file: {'equal' if models[0] == models[1] else 'different'}")
    return int(bool(different) or logs[0] != logs[1] or models[0] != models[1])


def _comparable(run: Path) -> list[tuple[int, str, float]]:
    """Without what depends on the clock or is stated at every start."""
    rows = read_log(run / "metrics.csv")
    return [row for row in rows if not row[1].startswith(("samples_per_second", "weight/"))]


if __name__ == "__main__":
    sys.exit(main())
