"""Files are whole or absent, whatever interrupts their writing."""

import os
import stat

import pytest

from hfdiff.core.files import replacing, sha256_of


def test_a_new_file_appears_whole(tmp_path):
    path = tmp_path / "a.json"

    with replacing(path) as scratch:
        scratch.write_text("whole")
        assert not path.exists()

    assert path.read_text() == "whole"
    assert list(tmp_path.iterdir()) == [path]


def test_the_old_file_stays_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("old")

    with replacing(path) as scratch:
        scratch.write_text("new")
        assert path.read_text() == "old"

    assert path.read_text() == "new"


def _write_half(path, interruption):
    with replacing(path) as scratch:
        scratch.write_text("half of the n")
        raise interruption


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit, OSError, MemoryError])
@pytest.mark.parametrize("old", ["old", None])
def test_an_interruption_leaves_everything_as_it_was(tmp_path, interruption, old):
    path = tmp_path / "a.json"
    if old is not None:
        path.write_text(old)

    with pytest.raises(interruption):
        _write_half(path, interruption)

    assert [file.name for file in tmp_path.iterdir()] == ([] if old is None else ["a.json"])
    assert old is None or path.read_text() == old


def test_an_interruption_during_the_renaming_leaves_no_scratch_file(tmp_path, monkeypatch):
    path = tmp_path / "a.json"

    def interrupt(self, target):
        raise KeyboardInterrupt

    monkeypatch.setattr(type(path), "replace", interrupt)
    with pytest.raises(KeyboardInterrupt), replacing(path) as scratch:
        scratch.write_text("whole")

    assert list(tmp_path.iterdir()) == []


def test_a_writer_that_loses_the_scratch_file_makes_nothing(tmp_path):
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "a") as scratch:
        scratch.unlink()

    assert list(tmp_path.iterdir()) == []


def test_the_scratch_file_is_hidden_beside_the_target_and_ends_alike(tmp_path):
    with replacing(tmp_path / "a.png") as scratch:
        assert scratch.parent == tmp_path
        assert scratch.name.startswith(".hfdiff-")
        assert scratch.suffix == ".png"


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_the_rights_are_those_of_any_new_file(tmp_path, mask, mode):
    before = os.umask(mask)
    try:
        with replacing(tmp_path / "a") as scratch:
            scratch.write_text("")
        assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == mode
        assert os.umask(mask) == mask
    finally:
        os.umask(before)


def test_a_missing_folder_is_an_error_of_the_system(tmp_path):
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "gone" / "a"):
        pass


def test_two_writers_of_one_name_do_not_meet(tmp_path):
    path = tmp_path / "a"

    with replacing(path) as first, replacing(path) as second:
        first.write_text("first")
        second.write_text("second")
        assert first != second

    assert path.read_text() == "first"


def test_the_hash_is_sha256(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"abc")

    assert sha256_of(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
