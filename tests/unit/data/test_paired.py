"""Pairs of lq and gt that are given, and pictures in tar shards."""

import io
import tarfile

import numpy as np
import pytest
import torch
from PIL import Image

from hfdiff.core.errors import SettingsError
from hfdiff.data.batches import DataSettings, PairBatches, batch_loader
from hfdiff.data.pictures import PictureSet, list_pictures
from hfdiff.data.validation import validation_pairs


def picture(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def save(path, samples):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(samples).save(path)
    return path


def png(samples):
    stream = io.BytesIO()
    Image.fromarray(samples).save(stream, "PNG")
    return stream.getvalue()


def write_tar(path, members):
    with tarfile.open(path, "w") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def four_fold(lq):
    """A gt whose every fourth pixel tells which lq pixel it is over."""
    return lq.repeat(4, 0).repeat(4, 1)


@pytest.fixture
def pairs(tmp_path):
    for k, (height, width) in enumerate([(20, 24), (18, 30), (40, 17)]):
        lq = picture(height, width, seed=k)
        save(tmp_path / "lq" / f"scene_{k}_LR4.png", lq)
        save(tmp_path / "gt" / f"scene_{k}_HR.png", four_fold(lq))
    return tmp_path


def validated(folder, **changes):
    return settings_of(folder, validation=str(folder / "gt"), gt_size=16, **changes)


def settings_of(folder, **changes):
    values = {"root": str(folder / "gt"), "lq_root": str(folder / "lq"), "gt_size": 64}
    return DataSettings(
        **{k: (v,) if "root" in k and v else v for k, v in {**values, **changes}.items()}
    )


@pytest.mark.parametrize("in_memory", [True, False])
def test_given_pairs_are_cut_mirrored_and_turned_alike(pairs, in_memory):
    settings = settings_of(pairs, in_memory=in_memory)

    batch = PairBatches(settings.pictures(), settings, seed=0, batch=12)[0]

    assert batch.lq_pm1.shape == (12, 3, 16, 16)
    enlarged = batch.lq_pm1.repeat_interleave(4, 2).repeat_interleave(4, 3)
    assert torch.equal(enlarged, batch.gt_pm1)
    assert {name.rsplit("/", 1)[-1] for name in batch.names} == {
        f"scene_{k}_HR.png" for k in range(3)
    }


def test_partners_are_named_before_anything_is_trained(pairs):
    (pairs / "lq" / "scene_1_LR4.png").unlink()
    with pytest.raises(SettingsError, match=r"1 gt without a lq: scene_1_HR\.png"):
        settings_of(pairs).pictures()
    (pairs / "gt" / "scene_1_HR.png").unlink()
    (pairs / "gt" / "scene_2_HR.png").unlink()
    with pytest.raises(SettingsError, match=r"1 lq without a gt: scene_2_LR4\.png"):
        settings_of(pairs).pictures()


def test_names_are_paired_and_not_places(tmp_path):
    for k in (1, 2, 10):
        lq = np.full((16, 16, 3), k, dtype=np.uint8)
        save(tmp_path / "lq" / f"{k:03d}.png", lq)
        save(tmp_path / "gt" / f"{k:03d}.png", four_fold(lq))
    settings = settings_of(tmp_path)

    batch = PairBatches(settings.pictures(), settings, seed=0, batch=3)[0]

    assert torch.equal(batch.lq_pm1[:, 0, 0, 0], batch.gt_pm1[:, 0, 0, 0])


def test_pairs_are_in_the_order_of_their_gt_in_every_process(tmp_path):
    """A resumed run and another rank must find the same picture under the same number."""
    for k in range(12):
        lq = np.full((16, 16, 3), k, dtype=np.uint8)
        save(tmp_path / "lq" / f"{k:02d}_LR4.png", lq)
        save(tmp_path / "gt" / f"{k:02d}_HR.png", four_fold(lq))

    assert settings_of(tmp_path).pictures().paths == list_pictures([tmp_path / "gt"])


@pytest.mark.parametrize("gt", [(79, 96), (20, 24), (160, 192), (96, 80)])
def test_sizes_that_do_not_fit_are_named(pairs, gt):
    save(pairs / "gt" / "scene_0_HR.png", picture(*gt))

    with pytest.raises(SettingsError) as caught:
        settings_of(pairs).pictures()

    assert str(caught.value).startswith("a gt must be 4 times as large as its lq: ")
    assert f"scene_0_HR.png is {gt[1]}x{gt[0]}, its lq 24x20" in str(caught.value)


def test_a_pair_with_a_broken_file_is_left_out_and_counted(pairs, caplog):
    whole = (pairs / "lq" / "scene_0_LR4.png").read_bytes()
    (pairs / "lq" / "scene_0_LR4.png").write_bytes(whole[: len(whole) // 2])

    at_once = settings_of(pairs).pictures()

    assert len(at_once) == 2
    assert any("1 left out" in line for line in at_once.report())
    later = settings_of(pairs, in_memory=False)
    with caplog.at_level("WARNING"):
        batch = PairBatches(later.pictures(), later, seed=0, batch=6)[0]
    assert not any("scene_0" in name for name in batch.names)
    assert "scene_0_HR.png is left out" in caplog.text


def test_what_makes_lq_means_nothing_where_they_are_given(pairs):
    for change in ({"crop": "published"}, {"draws": "batch"}, {"pool_batches": 10}):
        with pytest.raises(SettingsError, match=r"data\.lq_root gives lq pictures"):
            settings_of(pairs, **change)


def test_pictures_of_16_bit_keep_their_brightness(tmp_path):
    levels = np.full((70, 70), 200 * 257 + 3, dtype=np.uint16)
    Image.fromarray(levels).save(tmp_path / "deep.png")

    samples = PictureSet([tmp_path], least_side=64)[0]

    assert samples.dtype == np.uint8
    assert samples.shape == (70, 70, 3)
    assert np.unique(samples).tolist() == [200]


def test_hidden_and_system_files_are_passed_over(tmp_path):
    for name in ("a.png", ".b.png", "._a.png", ".cache/c.png", "__MACOSX/a.png", "@eaDir/a.png"):
        save(tmp_path / "set" / name, picture(70, 70))
    (tmp_path / "set" / "Thumbs.db").write_bytes(b"thumbnails")

    assert list_pictures([tmp_path / "set"]) == [tmp_path / "set" / "a.png"]


# Shards


def test_pictures_in_shards_are_read_as_files_are(tmp_path):
    pictures = [picture(70, 80, seed=k) for k in range(5)]
    (tmp_path / "set").mkdir()
    for number, some in enumerate([pictures[:2], pictures[2:4]]):
        members = {f"./{number}/{k}.png": png(one) for k, one in enumerate(some)}
        write_tar(tmp_path / "set" / f"{number}.tar", {**members, "about.json": b"{}"})
    save(tmp_path / "set" / "single.png", pictures[4])

    for in_memory in (True, False):
        found = PictureSet([tmp_path / "set"], least_side=64, in_memory=in_memory)
        assert [path.relative_to(tmp_path / "set").as_posix() for path in found.paths] == [
            *("0.tar/0/0.png", "0.tar/0/1.png", "1.tar/1/0.png", "1.tar/1/1.png", "single.png")
        ]
        for index, expected in enumerate(pictures):
            np.testing.assert_array_equal(found[index], expected)


def test_workers_read_shards(tmp_path):
    shard = write_tar(tmp_path / "a.tar", {f"{k}.png": png(picture(70, 80, k)) for k in range(4)})
    settings = DataSettings(root=(str(shard),), gt_size=64, degradation="mild", in_memory=False)
    batches = PairBatches(settings.pictures(), settings, seed=0, batch=2)

    loaded = list(batch_loader(batches, 0, 3, 2))

    for number, batch in enumerate(loaded):
        assert torch.equal(batch.gt_pm1, batches[number].gt_pm1)


def test_pairs_may_be_in_shards_and_lists_may_name_what_is_in_them(tmp_path):
    lqs = {f"{k:03d}_x4.png": picture(16, 20, k) for k in range(2)}
    write_tar(tmp_path / "lq.tar", {name: png(lq) for name, lq in lqs.items()})
    gts = {name.replace("_x4", ""): png(four_fold(lq)) for name, lq in lqs.items()}
    write_tar(tmp_path / "gt.tar", gts)
    settings = DataSettings(
        root=(str(tmp_path / "gt.tar"),), lq_root=(str(tmp_path / "lq.tar"),), gt_size=32
    )

    batch = PairBatches(settings.pictures(), settings, seed=0, batch=4)[0]

    enlarged = batch.lq_pm1.repeat_interleave(4, 2).repeat_interleave(4, 3)
    assert torch.equal(enlarged, batch.gt_pm1)
    (tmp_path / "list.txt").write_text("gt.tar/001.png\n")
    assert list_pictures([tmp_path / "list.txt"]) == [tmp_path / "gt.tar" / "001.png"]


def test_names_in_a_shard_lead_nowhere_else(tmp_path):
    outside = save(tmp_path / "outside.png", picture(70, 70))
    content = png(picture(70, 70, seed=1))
    names = ["../outside.png", str(outside), "a/../../outside.png", "inside.png", "__MACOSX/x.png"]
    shard = write_tar(tmp_path / "hostile.tar", dict.fromkeys(names, content))

    assert list_pictures([shard]) == [shard / "inside.png"]


def test_links_and_folders_in_a_shard_are_no_pictures(tmp_path):
    shard = write_tar(tmp_path / "a.tar", {"real.png": png(picture(70, 70))})
    with tarfile.open(shard, "a") as archive:
        link = tarfile.TarInfo("link.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)

    assert [path.name for path in list_pictures([shard])] == ["real.png"]


def test_broken_pictures_in_a_shard_are_left_out_and_broken_shards_are_named(tmp_path):
    good, content = png(picture(70, 70)), png(picture(70, 70, seed=1))
    shard = write_tar(tmp_path / "a.tar", {"bad.png": content[:50], "good.png": good})
    (tmp_path / "b.tar").write_bytes(b"this is no archive" * 100)

    pictures = PictureSet([shard], least_side=64)

    assert [path.name for path in pictures.paths] == ["good.png"]
    assert [path.name for path in pictures.skipped] == ["bad.png"]
    with pytest.raises(SettingsError, match=r"the shard .*b\.tar cannot be read") as caught:
        PictureSet([tmp_path / "b.tar"], least_side=64)
    assert caught.value.hint == "shards are plain .tar files, not compressed"


def test_a_turned_picture_is_as_large_as_it_is_shown(tmp_path):
    lq = picture(20, 24)
    save(tmp_path / "gt" / "a.png", four_fold(lq))
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by 90 degrees
    (tmp_path / "lq").mkdir()
    Image.fromarray(np.ascontiguousarray(np.rot90(lq))).save(tmp_path / "lq" / "a.png", exif=exif)

    pictures = settings_of(tmp_path).pictures()

    np.testing.assert_array_equal(pictures.read(0)[1], lq)


def test_a_broken_list_in_a_crowd_is_named_by_its_line(tmp_path):
    save(tmp_path / "p" / "a.png", picture(70, 70))
    lines = ["p/a.png"] * 30_000 + ["p/b.png"]
    (tmp_path / "list.txt").write_text("\n".join(lines))

    with pytest.raises(SettingsError, match=r"line 30001: p/b\.png does not exist"):
        list_pictures([tmp_path / "list.txt"])


# Validation


def test_given_pairs_are_validated_on_given_lq(pairs):
    settings = validated(pairs, validation_lq=str(pairs / "lq"))

    found = validation_pairs(settings.validation, settings)

    assert [name for name, _, _ in found] == [f"scene_{k}_HR" for k in range(3)]
    for _, lq, gt in found:
        assert np.array_equal(four_fold(lq), gt)
    assert len(validation_pairs(settings.validation, settings, limit=2)) == 2


def test_given_lq_can_be_validated_on_where_training_makes_its_own(pairs):
    settings = validated(pairs, lq_root=(), validation_lq=str(pairs / "lq"))

    assert np.array_equal(
        four_fold(validation_pairs(settings.validation, settings)[1][1]),
        validation_pairs(settings.validation, settings)[1][2],
    )


def test_training_on_given_lq_is_not_validated_on_made_ones(pairs):
    with pytest.raises(SettingsError, match=r"data\.validation needs given ones") as caught:
        validated(pairs)
    assert "data.validation_lq=FOLDER" in caught.value.hint


def test_given_lq_without_gt_are_refused(pairs):
    with pytest.raises(SettingsError, match=r"validation_lq needs data\.validation"):
        settings_of(pairs, validation_lq=str(pairs / "lq"))


def test_a_lonely_picture_of_validation_is_named(pairs):
    (pairs / "lq" / "scene_1_LR4.png").unlink()
    settings = validated(pairs, validation_lq=str(pairs / "lq"))

    with pytest.raises(SettingsError, match=r"1 gt without a lq: scene_1_HR\.png"):
        validation_pairs(settings.validation, settings)
