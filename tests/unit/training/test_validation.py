import numpy as np
import pytest
import torch
from PIL import Image

from hfdiff.core import fetch
from hfdiff.data.validation import validation_pairs
from hfdiff.imaging.files import read_picture
from hfdiff.training.run import build
from hfdiff.training.stages.common import describe_unsaved
from hfdiff.training.validation import METRIC_NAMES, decoded_way, upscaler_way, validate_pairs
from hfdiff.upscaling.options import UpscaleOptions
from hfdiff.upscaling.upscaler import Upscaler

needs_weights = pytest.mark.skipif(
    any(fetch.stored_hash(name) is None for name in ("alexnet", "vgg16")),
    reason="weights alexnet and vgg16 are not stored (hfdiff weights get all)",
)


def gt_itself(lq, gt):
    return gt


def test_without_pictures_there_is_nothing_to_say(tmp_path):
    assert validate_pairs([], {"gt": gt_itself}, tmp_path) == {}
    assert list(tmp_path.iterdir()) == []


@needs_weights
def test_every_way_is_measured_by_every_metric_and_shown_on_a_sheet(ground, tmp_path):
    settings = ground.settings("teacher", "validation")
    pairs = validation_pairs(settings.data.root[0], settings.data, limit=2)
    ways = {"gt": gt_itself, "grey": lambda lq, gt: np.full_like(gt, 128)}

    values = validate_pairs(pairs, ways, tmp_path / "samples")

    assert values.keys() == {f"{way}/{metric}" for way in ways for metric in METRIC_NAMES}
    assert values["gt/lpips"] == pytest.approx(0, abs=1e-6)
    assert values["gt/lpips"] < values["grey/lpips"]
    sheet = np.asarray(Image.open(tmp_path / "samples" / "sheet.png"))
    assert sheet.shape == (2 * 96, 4 * 120, 3)
    assert np.array_equal(sheet[:96, 3 * 120 :], pairs[0][2])


@needs_weights
@pytest.mark.parametrize("stage", ["autoencoder", "teacher", "distill"])
def test_every_stage_validates_beside_its_ceiling(ground, tmp_path, stage):
    settings = ground.settings(stage, f"validation-{stage}")
    pairs = validation_pairs(settings.data.root[0], settings.data, limit=1)
    built = build(stage, settings, pairs)

    values = built.validate(built.networks(), tmp_path)

    assert {"ceiling/lpips", "ceiling/psnr_y"} <= values.keys()
    assert all(np.isfinite(value) for value in values.values())


def test_a_validated_picture_is_what_upscale_writes_with_the_exported_model(ground):
    """Byte for byte: the same door, and the same layout of tensors."""
    settings = ground.settings("distill", "same-bytes")
    built = build("distill", settings, [])
    pairs = validation_pairs(settings.data.root[0], settings.data, limit=2)
    averaged = {
        name: network.to(memory_format=torch.channels_last)
        for name, network in built.networks().items()
    }
    path = ground.root / "same-bytes.safetensors"
    built.export(averaged, path, {})
    upscaler = Upscaler.from_pretrained(path, device="cpu")
    model = built._assembled(averaged)

    student = upscaler_way(model, describe_unsaved(model.config, "student"))

    for name, lq, gt in pairs:
        file = ground.root / f"{name}-lq.png"
        Image.fromarray(lq).save(file)
        expected = upscaler.upscale(read_picture(file), UpscaleOptions()).samples
        assert np.array_equal(student(lq, gt), expected)


def test_a_decoded_latent_is_a_picture_of_8_bit(ground):
    settings = ground.settings("distill", "decoded")
    built = build("distill", settings, [])
    _, lq, gt = validation_pairs(settings.data.root[0], settings.data, limit=1)[0]
    model = built._assembled(built.networks())

    made = decoded_way(model, lambda lq_pm1, gt_pm1: model.encode_gt(gt_pm1))(lq, gt)

    assert made.shape == gt.shape
    assert made.dtype == np.uint8
