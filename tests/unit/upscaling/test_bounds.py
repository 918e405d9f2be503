"""--min-size and --max-size: what is large enough already is copied (spec 6.4, users 7.14)."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hfdiff.core.errors import SettingsError
from hfdiff.upscaling.options import Naming, UpscaleOptions, Writing, target_size
from hfdiff.upscaling.plan import plan_work
from hfdiff.upscaling.run import run_plan


@pytest.mark.parametrize(
    ("bounds", "size", "target"),
    [
        ({"min_size": (200, 100)}, (40, 30), (200, 150)),
        ({"min_size": (None, 100)}, (40, 30), (133, 100)),
        ({"min_size": (41, None)}, (40, 30), (41, 31)),
        ({"min_size": (40, 20)}, (40, 30), (40, 30)),
        ({"max_size": (100, 100)}, (40, 30), (100, 75)),
        ({"max_size": (1000, 1000)}, (40, 30), (160, 120)),
        ({"max_size": (30, None)}, (40, 30), (40, 30)),
        ({"max_size": (100, 100), "scale": 2}, (40, 30), (80, 60)),
        ({"min_size": (200, 100), "max_size": (180, None)}, (40, 30), (180, 135)),
        ({"min_size": (50, None)}, (3, 7), (50, 117)),
    ],
)
def test_sizes(bounds, size, target):
    assert target_size(*size, UpscaleOptions(**bounds), 4) == target


@pytest.mark.parametrize("height", range(1, 60))
@pytest.mark.parametrize("wanted", [(97, 101), (64, 64)])
def test_bounds_are_never_missed_by_rounding(height, wanted):
    least = target_size(41, height, UpscaleOptions(min_size=wanted), 4)
    most = target_size(41, height, UpscaleOptions(max_size=wanted, scale=16), 4)

    assert least[0] >= wanted[0]
    assert least[1] >= wanted[1]
    assert most[0] <= wanted[0]
    assert most[1] <= wanted[1]


@pytest.mark.parametrize(
    "options",
    [
        {"size": (9, 9), "min_size": (9, 9)},
        {"size": (9, 9), "max_size": (9, 9)},
        {"scale": 2, "min_size": (9, 9)},
    ],
)
def test_what_contradicts_is_refused(options):
    with pytest.raises(SettingsError, match="exclude each other"):
        UpscaleOptions(**options)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    for name, width in (("small.png", 40), ("large.png", 90), ("large.gif", 91)):
        samples = np.random.default_rng(width).integers(0, 256, (30, width), dtype=np.uint8)
        Image.fromarray(samples).save(f"in/{name}")


def run(upscaler, options, writing=None, **naming):
    naming = Naming(output=Path("out"), **naming)
    plan = plan_work(["in"], naming, options, model_scale=4)
    return {
        record.path.name: record for record in run_plan(plan, upscaler, options, writing=writing)
    }


def test_what_is_large_enough_is_copied_byte_by_byte(folder, identity):
    records = run(identity, UpscaleOptions(min_size=(80, None)), suffix="_s")

    assert records["large.png"].notes == ("large enough already: copied",)
    assert records["large.png"].tiles == 0
    assert Path("out/large.png_s.png").read_bytes() == Path("in/large.png").read_bytes()
    assert records["small.png"].output_width == 80


def test_a_broken_picture_is_not_copied(folder, identity):
    content = Path("in/large.png").read_bytes()
    Path("in/large.png").write_bytes(content[:-300])

    records = run(identity, UpscaleOptions(min_size=(80, None)), suffix="_s")

    assert records["large.png"].status == "failed"
    assert not Path("out/large.png_s.png").exists()


def test_another_format_keeps_its_samples(folder, identity):
    run(identity, UpscaleOptions(min_size=(80, None)), format="TIFF", suffix="_s")

    with Image.open("in/large.gif") as source, Image.open("out/large.gif_s.tif") as copied:
        assert np.array_equal(np.asarray(source.convert("RGB")), np.asarray(copied.convert("RGB")))


def test_metadata_that_is_to_go_goes_from_copies_too(folder, identity):
    with Image.open("in/large.png") as image:
        image.save("in/large.jpg", comment=b"secret", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0")

    run(identity, UpscaleOptions(min_size=(80, None)), Writing(strip_metadata=True))

    assert b"secret" not in Path("out/large.jpg").read_bytes()


def test_images_in_memory_come_back_as_they_are(identity):
    options = UpscaleOptions(max_size=(20, None))
    image = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    from hfdiff.imaging.picture import Picture

    kept = identity.upscale(Picture(samples=image), options)

    assert np.array_equal(kept.samples, image)
    assert kept.notes == ("large enough already: not enlarged",)
