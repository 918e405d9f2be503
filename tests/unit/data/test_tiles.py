"""Photographs cut into tiles."""

import numpy as np
import pytest
from PIL import Image

from hfdiff.core.errors import SettingsError
from hfdiff.data.pictures import PictureSet
from hfdiff.data.tiles import cut_tiles


def save(folder, name, height, width, seed=0):
    folder.mkdir(parents=True, exist_ok=True)
    levels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(levels).save(folder / name)
    return levels


def test_large_pictures_become_tiles_that_do_not_overlap_and_small_ones_stay_whole(tmp_path):
    large = save(tmp_path / "photos", "large.png", 1100, 1600)
    small = save(tmp_path / "photos", "small.png", 200, 300)

    tiles = cut_tiles([tmp_path / "photos"], tmp_path / "cut", least_side=64)

    pictures = PictureSet([tiles.train], least_side=64)
    assert sorted(pictures.sizes) == [(300, 200), *[(512, 512)] * 6]
    samples = {path.name: pictures[k] for k, path in enumerate(pictures.paths)}
    np.testing.assert_array_equal(samples["000001_00.png"], small)
    np.testing.assert_array_equal(samples["000000_00.png"], large[38:550, 32:544])
    np.testing.assert_array_equal(samples["000000_05.png"], large[550:1062, 1056:1568])
    assert tiles.held_out is None


def test_a_tenth_is_held_out_and_never_trained_on(tmp_path):
    for k in range(11):
        save(tmp_path / "photos", f"{k}.png", 80, 90, seed=k)

    tiles = cut_tiles([tmp_path / "photos"], tmp_path / "cut", least_side=64)

    train, held_out = (PictureSet([each], least_side=64) for each in (tiles.train, tiles.held_out))
    assert (len(train), len(held_out)) == (9, 2)
    seen = {train[k].tobytes() for k in range(9)}
    assert not seen & {held_out[k].tobytes() for k in range(2)}


def test_tiles_are_cut_once(tmp_path):
    save(tmp_path / "photos", "a.png", 80, 90)
    tiles = cut_tiles([tmp_path / "photos"], tmp_path / "cut", least_side=64)
    before = (tmp_path / "cut" / "train" / "000000_00.png").stat().st_mtime_ns

    assert cut_tiles([tmp_path / "photos"], tmp_path / "cut", least_side=64) == tiles
    assert (tmp_path / "cut" / "train" / "000000_00.png").stat().st_mtime_ns == before


def test_pictures_that_break_off_are_left_out(tmp_path, caplog):
    save(tmp_path / "photos", "a.png", 80, 90)
    save(tmp_path / "photos", "b.png", 80, 90, seed=1)
    whole = (tmp_path / "photos" / "b.png").read_bytes()
    (tmp_path / "photos" / "b.png").write_bytes(whole[: len(whole) // 2])

    tiles = cut_tiles([tmp_path / "photos"], tmp_path / "cut", least_side=64)

    assert tiles.train.read_text().split() == ["train/000000_00.png"]
    assert "b.png is left out" in caplog.text
    (tmp_path / "photos" / "a.png").unlink()
    with pytest.raises(SettingsError, match="none of the pictures can be read to its end"):
        cut_tiles([tmp_path / "photos"], tmp_path / "again", least_side=64)
