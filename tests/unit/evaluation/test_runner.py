import math

import numpy as np
import pytest
import torch
from PIL import Image

from hfdiff.core.errors import SettingsError
from hfdiff.evaluation.runner import evaluate
from hfdiff.metrics.psnr import psnr_y
from scenes import SCENES, gt_of, sr_of, worse


def save(path, picture_01):
    path.parent.mkdir(exist_ok=True)
    levels = (picture_01[0].permute(1, 2, 0) * 255).round().byte().numpy()
    Image.fromarray(levels).save(path)


@pytest.fixture
def folders(tmp_path):
    """Three scenes, small, with their blurred versions."""
    for scene in SCENES[:3]:
        save(tmp_path / "gt" / f"{scene}.png", gt_of(scene)[..., :40, :50])
        save(tmp_path / "sr" / f"{scene}_x4.png", sr_of(scene)[..., :40, :50])
    return tmp_path / "sr", tmp_path / "gt"


def run(sr, gt=None, **options):
    return evaluate(sr, gt, **{"metrics": ["psnr_y", "ssim_y"], "device": "cpu", **options})


def test_values_are_those_of_the_metric_on_the_files(folders):
    evaluation = run(*folders)

    for scene, picture in zip(sorted(SCENES[:3]), evaluation.pictures, strict=True):
        sr, gt = sr_of(scene)[..., :40, :50], gt_of(scene)[..., :40, :50]
        assert picture.name == f"{scene}_x4.png"
        assert picture.values["psnr_y"] == psnr_y(sr, gt).item()


def test_the_mean_is_over_pictures_and_its_interval_follows_the_seed(folders):
    evaluation = run(*folders, seed=1)

    interval = evaluation.interval("psnr_y")

    assert interval.n == 3
    assert interval.mean == np.mean([p.values["psnr_y"] for p in evaluation.pictures])
    assert run(*folders, seed=1).interval("psnr_y") == interval


def test_a_broken_picture_fails_alone(folders):
    sr, gt = folders
    (sr / "rings_x4.png").write_bytes(b"no picture")

    evaluation = run(sr, gt)

    assert [picture.name for picture in evaluation.failures] == ["rings_x4.png"]
    assert "not a picture" in evaluation.failures[0].failure
    assert evaluation.interval("psnr_y").n == 2


def test_a_metric_whose_weights_are_missing_is_listed_with_the_command(
    folders, tmp_path, monkeypatch
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "empty"))

    evaluation = run(*folders, metrics=["psnr_y", "dists"])

    (missing,) = evaluation.not_computed
    assert evaluation.metrics == ("psnr_y",)
    assert missing.metric == "dists"
    assert "weights vgg16 are not on this machine" in missing.reason
    assert "hfdiff weights get vgg16" in missing.remedy


def test_without_gt_a_comparing_metric_is_listed_as_not_computed(folders):
    evaluation = run(folders[0], metrics=["psnr_y"])

    assert evaluation.metrics == ()
    assert "compares with a gt" in evaluation.not_computed[0].reason
    assert len(evaluation.pictures) == 3


def test_a_picture_that_a_metric_cannot_take_has_a_reason_instead_of_a_value(folders):
    evaluation = run(*folders, metrics=["psnr_y", "niqe"])

    for picture in evaluation.pictures:
        assert "psnr_y" in picture.values
        assert "niqe needs sides of at least 96" in picture.reasons["niqe"]
    assert evaluation.interval("niqe") is None
    assert evaluation.failures == ()


def test_a_value_that_is_no_number_has_a_reason(tmp_path):
    save(tmp_path / "flat.png", torch.full((1, 3, 192, 192), 0.5))

    evaluation = run(tmp_path / "flat.png", metrics=["niqe"])

    assert "no value for this picture" in evaluation.pictures[0].reasons["niqe"]


def test_equal_pictures_count_as_infinite(folders):
    _, gt = folders

    evaluation = run(gt, gt)

    assert evaluation.interval("psnr_y").mean == math.inf


def test_the_worst_picture_comes_first(tmp_path):
    for name, times in (("good", 1), ("worst", 9), ("bad", 4)):
        save(tmp_path / "gt" / f"{name}.png", gt_of("waves")[..., :40, :50])
        save(tmp_path / "sr" / f"{name}.png", worse(gt_of("waves"), times)[..., :40, :50])

    evaluation = run(tmp_path / "sr", tmp_path / "gt")

    ranked = [picture.name for picture in evaluation.worst_first()]
    assert ranked == ["worst.png", "bad.png", "good.png"]


def test_progress_is_told_picture_by_picture(folders):
    told = []

    run(*folders, on_progress=lambda done, total: told.append((done, total)))

    assert told == [(1, 3), (2, 3), (3, 3)]


def test_what_decides_the_numbers_is_recorded(folders):
    evaluation = run(*folders)

    assert evaluation.protocol.name == "osediff"
    assert set(evaluation.versions) == {"hfdiff", "torch", "numpy", "pillow", "python"}
    assert "not rounded" in evaluation.identities["psnr_y"]["definition"]
    assert evaluation.device == "cpu"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"protocol": "sota"}, "protocol must be one of osediff, sinsr, got 'sota'"),
        ({"metrics": ["fid"]}, "metric must be one of"),
    ],
)
def test_unknown_names_are_refused(folders, options, words):
    with pytest.raises(SettingsError, match=words):
        run(*folders, **options)


def test_the_protocol_chooses_the_metrics_unless_told(folders, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "empty"))

    evaluation = run(*folders, metrics=[], protocol="sinsr")

    assert evaluation.metrics == ("psnr_y", "ssim_y")
    assert [one.metric for one in evaluation.not_computed] == ["lpips"]
