"""What a model file says before its networks are needed."""

import pytest

from hfdiff.core.errors import CheckpointError
from hfdiff.model.document import read_document, stated_scale
from hfdiff.model.model_file import save_model, write_described
from small_models import small_model
from training_pieces import CARD, extractor_file


@pytest.fixture
def model_file(tmp_path):
    path = tmp_path / "a.safetensors"
    save_model(path, small_model("lite student"), CARD)
    return path


def test_the_scale_is_read_from_a_file_and_from_a_folder(model_file, tmp_path):
    save_model(tmp_path / "folder", small_model("lite student"), CARD)

    assert stated_scale(model_file) == 4
    assert stated_scale(tmp_path / "folder") == 4


@pytest.mark.parametrize("scale", [None, "4", 0, True, 4.0])
def test_a_scale_that_is_not_said_plainly_is_left_to_be_judged(model_file, tmp_path, scale):
    document = read_document(model_file)
    document["config"] = {**document["config"], "scale": scale}
    write_described(tmp_path / "b.safetensors", {}, document)

    assert stated_scale(tmp_path / "b.safetensors") is None


def test_an_extractor_has_none(tmp_path):
    assert stated_scale(extractor_file(tmp_path)) is None


def test_a_file_without_a_document_is_refused(tmp_path):
    (tmp_path / "c.safetensors").write_bytes(b"no weights")

    with pytest.raises(CheckpointError, match="not a whole"):
        stated_scale(tmp_path / "c.safetensors")
