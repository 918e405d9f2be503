"""Compare `hfdiff upscale --dry-run` with the run itself: time and peak memory, folder by folder.

    python scripts/forecast_against_truth.py FOLDER... --model identity

Options that it does not know are given to `hfdiff upscale`.

Exit code 0: time within 30 % and memory within 15 % for every folder. Set OMP_NUM_THREADS when
other work shares the machine.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TIME, MEMORY = 0.30, 0.15


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path)
    arguments, options = parser.parse_known_args()
    is_within = True
    for folder in arguments.folders:
        with tempfile.TemporaryDirectory() as out:
            command = [sys.executable, "-m", "hfdiff", "upscale", str(folder), "-o", out]
            command += ["--json", *options]
            said = subprocess.run([*command, "--dry-run"], capture_output=True, text=True)
            forecast = json.loads(said.stdout.splitlines()[-1])["forecast"]
            seconds, memory = _measured(command)
        errors = (
            forecast["seconds"] / seconds - 1,
            forecast["peak_memory_bytes"] / memory - 1,
        )
        is_within &= abs(errors[0]) <= TIME and abs(errors[1]) <= MEMORY
        print(
            f"{folder}: {forecast['pictures']} pictures, {forecast['tiles']} tiles; "
            f"time {forecast['seconds']:.1f} s, was {seconds:.1f} s ({errors[0]:+.0%}); "
            f"memory {forecast['peak_memory_bytes'] / 1e6:.0f} MB, "
            f"was {memory / 1e6:.0f} MB ({errors[1]:+.0%})"
        )
    return int(not is_within)


def _measured(command: list[str]) -> tuple[float, int]:
    """Seconds and peak memory in bytes of a command."""
    begin = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, _, usage = os.wait4(process.pid, 0)
    scale = 1 if sys.platform == "darwin" else 1024
    return time.monotonic() - begin, usage.ru_maxrss * scale


if __name__ == "__main__":
    sys.exit(main())
