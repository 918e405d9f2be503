"""Which file a model's name means."""

import sys

import pytest

from hfdiff.core.errors import CheckpointError, MissingExtraError
from hfdiff.model.find import DEFAULT_MODEL, bundled_models, find_model


def test_without_a_name_it_is_the_default_in_the_box():
    assert find_model() == find_model(None) == bundled_models()[DEFAULT_MODEL]
    assert find_model().is_file()


def test_every_model_in_the_box_is_found_by_its_name():
    for name, path in bundled_models().items():
        assert find_model(name) == path


def test_a_path_is_taken_as_it_is(tmp_path, monkeypatch):
    (tmp_path / "mine.safetensors").write_text("")
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)

    assert find_model("mine.safetensors").samefile(tmp_path / "mine.safetensors")
    assert find_model(tmp_path / "folder") == tmp_path / "folder"


@pytest.mark.parametrize(
    "name", ["nothing", "gone.safetensors", "a/b.safetensors", "./a", "/a", "~/a", "a/b/c", "../a"]
)
def test_a_name_of_nothing_is_refused_with_what_there_is(name):
    with pytest.raises(
        CheckpointError, match="neither a file or folder nor a name in the box"
    ) as e:
        find_model(name)

    assert DEFAULT_MODEL in str(e.value)
    assert name in str(e.value)


def test_a_hub_id_is_not_looked_up_where_the_network_is_forbidden(monkeypatch):
    monkeypatch.setenv("HFDIFF_OFFLINE", "1")

    with pytest.raises(CheckpointError, match="HFDIFF_OFFLINE=1 forbids the network"):
        find_model("someone/model")


def test_a_hub_id_without_the_extra_names_the_extra(monkeypatch):
    monkeypatch.delenv("HFDIFF_OFFLINE", raising=False)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)

    with pytest.raises(MissingExtraError, match="would come from the hub") as caught:
        find_model("someone/model")

    assert caught.value.hint == "pip install 'hfdiff[hub]'"
