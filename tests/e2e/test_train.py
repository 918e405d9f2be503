"""``hfdiff train``: real commands, real signals, real processes."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from hfdiff.cli import main
from hfdiff.core.weights import read_weights
from hfdiff.training.log import read_log
from hfdiff.training.table import STAGES
from training_pieces import Ground, checkpoint

pytestmark = pytest.mark.e2e

FOREVER = 100_000


@pytest.fixture(scope="module")
def ground(tmp_path_factory):
    return Ground.prepared(tmp_path_factory.mktemp("ground"))


def words(ground, stage, out, *changes):
    """The command, from ``train`` on."""
    settings = ground.overrides(stage, out, *changes)
    return ["train", stage, "--preset", "tiny", "--device", "cpu", "--threads", "1", *settings]


def command(ground, stage, out, *changes):
    return [sys.executable, "-m", "hfdiff", *words(ground, stage, out, *changes)]


def here(monkeypatch, capsys, arguments):
    """Run the command in this process: exit code, stdout, stderr."""
    monkeypatch.setattr(sys, "argv", ["hfdiff", *arguments])
    with pytest.raises(SystemExit) as ended:
        main.run()
    said = capsys.readouterr()
    return ended.value.code, said.out, said.err


def run(arguments, **options):
    return subprocess.run(arguments, capture_output=True, text=True, check=False, **options)


def steps_of(out):
    log = out / "metrics.csv"
    return max((row[0] for row in read_log(log)), default=0) if log.exists() else 0


def started(arguments, out, *, steps):
    """A run in a process group of its own that has done some steps."""
    process = subprocess.Popen(
        arguments, start_new_session=True, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 120
    while steps_of(out) < steps:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return process


def rows_of(out):
    """What of the log depends neither on the clock nor on how often the run was started."""
    rows = read_log(out / "metrics.csv")
    return [row for row in rows if not row[1].startswith(("samples_per_second", "weight/"))]


# From nothing to a model that upscales


def test_four_stages_make_a_model_that_upscales(ground, tmp_path):
    changes = ["iterations=80", "checkpoint_every=0", "optimiser.learning_rate=3e-3"]
    starts = {
        "autoencoder": None,
        "teacher": "autoencoder",
        "extractor": None,
        "distill": "teacher",
    }
    extractor = ground.root / "chain-extractor" / "model.safetensors"
    for stage, start in starts.items():
        begin = [f"start={ground.root / 'chain'}-{start}/model.safetensors"] if start else []
        if stage == "distill":
            begin += ["terms.hf=0.2", f"features.extractor={extractor}"]
        done = run(command(ground, stage, f"chain-{stage}", *changes, *begin))
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip() == str(ground.root / f"chain-{stage}" / "model.safetensors")

    student = ground.root / "chain-distill" / "model.safetensors"
    photograph = ground.root / "pictures" / "rings.png"
    upscaled = run(
        [sys.executable, "-m", "hfdiff", "upscale", photograph, "-m", student, "-o", tmp_path]
    )
    assert upscaled.returncode == 0, upscaled.stderr
    assert [path.name for path in tmp_path.glob("*.png")] == ["rings.png"]
    told = json.loads(run([sys.executable, "-m", "hfdiff", "info", student, "--json"]).stdout)
    assert "frozen_networks" in told["training"]
    for stage, term in (("autoencoder", "l1"), ("teacher", "mse"), ("distill", "distill")):
        values = [row[2] for row in rows_of(ground.root / f"chain-{stage}") if row[1] == term]
        assert len(values) == 80
        assert sum(values[-20:]) < 0.9 * sum(values[:20]), stage


def test_networks_compute_in_bfloat16_and_weights_stay_float32(ground):
    out = ground.root / "bfloat16"
    changes = ["precision=bfloat16", "iterations=2", "checkpoint_every=2"]

    done = run(command(ground, "distill", out.name, *changes))

    assert done.returncode == 0, done.stderr
    tensors = read_weights(checkpoint(out, 2))[0]
    assert {t.dtype for key, t in tensors.items() if "student" in key} == {torch.float32}
    assert rows_of(out)
    assert all(math.isfinite(value) for _, _, value in rows_of(out))


# Killed without warning


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("stage", STAGES)
def test_kill_9_and_resume_end_as_an_undisturbed_run_to_the_bit(ground, stage, workers):
    changes = ["iterations=60", "checkpoint_every=7", f"data.workers={workers}"]
    whole, killed = (ground.root / f"{name}-{stage}-{workers}" for name in ("whole", "killed"))
    assert run(command(ground, stage, whole.name, *changes)).returncode == 0

    process = started(command(ground, stage, killed.name, *changes), killed, steps=17)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    resumed = run([*command(ground, stage, killed.name, *changes), "--resume"])

    assert process.returncode == -signal.SIGKILL
    assert resumed.returncode == 0, resumed.stderr
    assert "resuming after step " in resumed.stderr
    ours, theirs = (read_weights(checkpoint(out, 60))[0] for out in (killed, whole))
    assert ours.keys() == theirs.keys()
    assert [key for key in theirs if not torch.equal(ours[key], theirs[key])] == []
    assert rows_of(killed) == rows_of(whole)
    model = "model.safetensors"
    assert (killed / model).read_bytes() == (whole / model).read_bytes()


# Asked to stop


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 0), ("SIGINT", 130)])
def test_a_signal_to_the_whole_group_saves_and_says_how_to_go_on(ground, name, code):
    out = ground.root / f"asked-{name}"
    changes = [f"iterations={FOREVER}", "checkpoint_every=0", "data.workers=2"]
    process = started(command(ground, "teacher", out.name, *changes), out, steps=3)

    begin = time.monotonic()
    os.killpg(process.pid, getattr(signal, name))
    _, said = process.communicate(timeout=30)

    assert process.returncode == code, said
    assert time.monotonic() - begin < 30
    (saved,) = (out / "checkpoints").iterdir()
    step = int(saved.stem.removeprefix("step-"))
    last = said.strip().splitlines()[-2:]
    assert last[0] == f"stopped after step {step}, which is saved"
    assert last[1].startswith("go on with: hfdiff train teacher --preset tiny")
    assert last[1].endswith(" --resume")
    assert rows_of(out)[-1][0] == step
    assert "Traceback" not in said


# Wrong in use, wrong in numbers


def test_numbers_that_are_not_finite_end_with_code_1_and_keep_the_checkpoint(
    ground, monkeypatch, capsys
):
    changes = ["optimiser.learning_rate=1e30", "optimiser.warmup=3", "optimiser.rise=published"]
    good = words(ground, "teacher", "exploded", "iterations=3", "optimiser.learning_rate=1e-4")
    assert here(monkeypatch, capsys, good)[0] == 0
    kept = checkpoint(ground.root / "exploded", 3).read_bytes()

    code, _, said = here(
        monkeypatch, capsys, [*words(ground, "teacher", "exploded", *changes), "--resume"]
    )

    assert code == 1
    last = said.strip().splitlines()[-2:]
    assert last[0].startswith("error: term mse is ")
    assert ".png" in last[0]
    assert last[1].startswith("hint: the last checkpoint is intact")
    assert checkpoint(ground.root / "exploded", 3).read_bytes() == kept
    assert list((ground.root / "exploded" / "checkpoints").glob("step-*6*")) == []


def test_an_unknown_key_ends_with_code_2_and_names_the_nearest(ground, monkeypatch, capsys):
    code, _, said = here(monkeypatch, capsys, words(ground, "teacher", "unused", "iteration=5"))

    assert code == 2
    assert said.splitlines() == [
        "error: iteration=5: unknown key iteration",
        "hint: did you mean iterations?",
    ]


def test_what_is_printed_can_be_fed_back(ground, monkeypatch, capsys):
    first = [*words(ground, "distill", "unused", "seed=7"), "--print-config"]
    code, printed, _ = here(monkeypatch, capsys, first)
    (ground.root / "printed.yaml").write_text(printed)

    again = ["train", "distill", "--config", str(ground.root / "printed.yaml"), "--print-config"]

    assert code == 0
    assert "seed: 7" in printed
    assert here(monkeypatch, capsys, again) == (0, printed, "")


def test_a_run_is_not_started_over_another(ground, monkeypatch, capsys):
    assert here(monkeypatch, capsys, words(ground, "teacher", "once"))[0] == 0

    code, _, said = here(monkeypatch, capsys, words(ground, "teacher", "once"))

    assert code == 2
    assert said.splitlines()[-1] == "hint: use --resume, or another out"


def test_a_rehearsal_prints_what_the_run_will_take_and_leaves_no_model(ground, monkeypatch, capsys):
    changes = ["iterations=20", "data.workers=0"]
    arguments = [*words(ground, "distill", "rehearsed", *changes), "--rehearse"]

    code, said, _ = here(monkeypatch, capsys, arguments)

    assert code == 0
    out = ground.root / "rehearsed"
    assert said.splitlines()[-1] == str(out / "rehearsal")
    for part in ("data", "step", "checkpoint", "student: gradient of distill", "the whole run"):
        assert f"\n{part}  " in f"\n{said}"
    assert [path.name for path in out.iterdir()] == ["rehearsal"]
    assert not list(out.rglob("*.safetensors"))


# Two processes

LAUNCH = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
LAUNCH += ["-m", "hfdiff"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stage", "steps"), [("autoencoder", 1), ("teacher", 10), ("extractor", 1), ("distill", 1)]
)
def test_two_processes_compute_what_one_computes(ground, stage, steps):
    """The same whole batches, draws by a sample's place in them, averaged gradients.

    Adam turns gradients that are nothing but rounding into whole steps, and l1's gradient jumps, so
    later steps are comparable for the teacher only.
    """
    changes = [f"iterations={steps}", f"checkpoint_every={steps}", "norms_every=0"]
    changes += ["adversarial=0"] if stage == "autoencoder" else []  # its balance is per process
    alone, together = (ground.root / f"{name}-{stage}" for name in ("alone", "together"))
    assert run(command(ground, stage, alone.name, *changes)).returncode == 0

    done = run([*LAUNCH, *words(ground, stage, together.name, *changes)])

    assert done.returncode == 0, done.stderr[-4000:]
    assert done.stdout.strip() == str(together / "model.safetensors")
    environment = json.loads((together / "environment.json").read_text())
    assert environment["starts"][0]["processes"] == 2
    ours, theirs = rows_of(together), rows_of(alone)
    assert [row[:2] for row in ours] == [row[:2] for row in theirs]
    for (step, name, x), (_, _, y) in zip(ours, theirs, strict=True):
        assert x == pytest.approx(y, rel=1e-4, abs=1e-5), f"{name} in step {step}"
    a, b = (read_weights(checkpoint(out, steps))[0] for out in (together, alone))
    for key in b:
        if key.endswith("/exp_avg") or "latent_" in key:
            torch.testing.assert_close(a[key], b[key], atol=1e-6, rtol=1e-3)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks for the ranks in /proc")
def test_a_rank_that_dies_ends_the_run_with_its_reason_and_it_can_go_on(ground):
    out = ground.root / "dying"
    changes = [f"iterations={FOREVER}", "checkpoint_every=5"]
    process = started([*LAUNCH, *words(ground, "teacher", out.name, *changes)], out, steps=7)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    begin = time.monotonic()

    os.kill(int(children[-1]), signal.SIGKILL)
    _, said = process.communicate(timeout=60)

    assert time.monotonic() - begin < 60
    assert process.returncode == 1
    assert "Signal 9 (SIGKILL)" in said
    assert not any(Path(f"/proc/{child}").exists() for child in children)
    last = [f"iterations={steps_of(out) + 1}"]
    resumed = run([*command(ground, "teacher", out.name, *changes, *last), "--resume"])
    assert resumed.returncode == 0, resumed.stderr
    assert "resuming after step " in resumed.stderr
