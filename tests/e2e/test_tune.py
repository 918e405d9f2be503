"""``hfdiff tune``: from a folder of photographs to a model that upscales."""

import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from PIL import Image

from hfdiff.core.weights import read_weights
from hfdiff.model.build import build_model
from hfdiff.model.find import find_model
from hfdiff.model.model_file import describe, load_model, save_model
from training_pieces import lite_teacher_file, write_pictures

pytestmark = pytest.mark.e2e

SHORT = [f"{part}.iterations=2" for part in ("autoencoder", "teacher", "latent", "student")]
# Six steps that need no pretrained weights.
TINY = ["--preset", "tiny", "--device", "cpu", "--threads", "1", "autoencoder.lpips=0", *SHORT]


def hfdiff(*arguments):
    words = [sys.executable, "-m", "hfdiff", *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, check=False)


@pytest.fixture
def photos(tmp_path):
    return write_pictures(tmp_path / "photos")


def test_one_command_makes_a_model_of_photographs_alone(photos, tmp_path):
    done = hfdiff("tune", photos, "-o", tmp_path / "mine", "--start", "none", *TINY)

    assert done.returncode == 0, done.stderr
    model = tmp_path / "mine" / "model.safetensors"
    assert done.stdout.strip() == str(model)
    card = describe(model).card
    assert card.name == "mine"
    assert card.data_terms == "pictures of whoever tuned it, on terms that are theirs to know"
    stages = [one["stage"] for one in card.training["stages"]]
    assert stages == ["AutoencoderStage", "TeacherStage", "DistillStage", "DistillStage"]
    photo = photos / "rings.png"
    upscaled = hfdiff("upscale", photo, "-m", model, "-o", tmp_path / "better")
    assert upscaled.returncode == 0, upscaled.stderr
    with Image.open(tmp_path / "better" / "rings.png") as made:
        assert made.size == (480, 384)


def test_a_start_goes_on_with_its_networks_and_its_terms(photos, tmp_path):
    start = lite_teacher_file(tmp_path)
    rates = [f"{part}.optimiser.learning_rate=1e-6" for part in ("autoencoder", "teacher")]
    rates += [f"{part}.optimiser.learning_rate=1e-6" for part in ("latent", "student")]

    done = hfdiff("tune", photos, "-o", tmp_path / "mine", "--start", start, *TINY, *rates)

    assert done.returncode == 0, done.stderr
    assert "the autoencoder gives 8 patches back" in done.stderr
    tuned, description = load_model(tmp_path / "mine" / "model.safetensors")
    for key, before in load_model(start)[0].state_dict().items():
        if "latent_" not in key:  # the spread of latents is measured on the pictures
            torch.testing.assert_close(tuned.state_dict()[key], before, atol=1e-4, rtol=0)
    assert description.card.data_terms.startswith("drawn by formulas; then pictures of whoever")
    assert description.config.role == "student"


def test_the_same_command_goes_on_and_another_is_refused(photos, tmp_path):
    words = ["tune", photos, "-o", tmp_path / "mine", "--start", "none", *TINY]
    assert hfdiff(*words).returncode == 0
    model = tmp_path / "mine" / "model.safetensors"
    expected = read_weights(model)[0]
    (tmp_path / "mine" / "student" / "model.safetensors").unlink()
    model.unlink()

    again = hfdiff(*words)

    assert again.returncode == 0, again.stderr
    assert again.stderr.count("done already") == 3
    ours = read_weights(model)[0]
    assert [key for key in expected if not torch.equal(ours[key], expected[key])] == []
    other = hfdiff(*words, "student.seed=1")
    assert other.returncode == 2
    assert "holds a tuning with another changes" in other.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--start", "identity"], 2, "identity.safetensors has nothing to train"),
        (["student.iteration=5"], 2, "did you mean iterations?"),
        (["discriminator.width=5"], 2, "PART one of autoencoder, teacher, latent, student"),
        (["--start", "nowhere.safetensors"], 3, "nowhere.safetensors"),
    ],
)
def test_wrong_use_is_said_before_anything_is_written(photos, tmp_path, arguments, code, message):
    done = hfdiff("tune", photos, "-o", tmp_path / "mine", "--start", "none", *TINY, *arguments)

    assert done.returncode == code
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "mine").exists()


def test_a_student_without_the_encoder_of_the_gt_is_trained_on(photos, tmp_path):
    """As the model in the box is shipped."""
    model, described = load_model(lite_teacher_file(tmp_path))
    codec = replace(described.config.codec, with_gt_encoder=False)
    config = replace(described.config, codec=codec, role="student")
    shipped = build_model(config)
    shipped.load_state_dict({key: model.state_dict()[key] for key in shipped.state_dict()})
    start = tmp_path / "shipped.safetensors"
    save_model(start, shipped, described.card)
    words = ["tune", photos, "-o", tmp_path / "mine", "--start", start, *TINY[:6]]

    done = hfdiff(*words, "student.iterations=2", "student.optimiser.learning_rate=1e-3")

    assert done.returncode == 0, done.stderr
    assert [path.name for path in (tmp_path / "mine").iterdir() if path.is_dir()] in (
        ["pictures", "student"],
        ["student", "pictures"],
    )
    tuned, description = load_model(tmp_path / "mine" / "model.safetensors")
    assert description.config == config
    moved = [
        key
        for key, t in shipped.state_dict().items()
        if not torch.equal(t, tuned.state_dict()[key])
    ]
    assert {key.split(".")[0] for key in moved} == {"network", "codec"}
    assert not any("lq_encoder" in key for key in moved)
    other = hfdiff(*words, "teacher.iterations=2")
    assert other.returncode == 2
    assert "a student that is trained on has no teacher" in other.stderr


def test_without_a_start_the_model_in_the_box_is_trained_on(photos, tmp_path):
    changes = ["iterations=1", "batch=1", "data.gt_size=64", "part=8", "terms.lpips=0"]
    changes = [f"student.{change}" for change in [*changes, "terms.adversarial=0"]]

    done = hfdiff("tune", photos, "-o", tmp_path / "mine", "--threads", 1, *changes)

    assert done.returncode == 0, done.stderr
    ours = describe(tmp_path / "mine" / "model.safetensors")
    boxed = describe(find_model())
    assert ours.config == boxed.config
    assert ours.card.data_terms.startswith(boxed.card.data_terms)
    assert len(ours.card.training["stages"]) == len(boxed.card.training["stages"]) + 1
