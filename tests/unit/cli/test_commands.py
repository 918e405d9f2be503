"""The small commands in this process: models, info, convert."""

import json
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from hfdiff.cli.main import app
from hfdiff.core.errors import HFDiffError, SettingsError
from hfdiff.model.find import DEFAULT_MODEL, bundled_models
from hfdiff.model.model_file import load_model, save_model
from small_models import CARD, small_model


def run(*arguments):
    """Standard output; an error of the command is raised."""
    done = CliRunner().invoke(app, [str(a) for a in arguments], prog_name="hfdiff")
    if isinstance(done.exception, HFDiffError):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.output


def test_models_lists_the_box_the_default_first():
    lines = run("models").splitlines()

    assert lines[0].startswith(DEFAULT_MODEL)
    assert "(default)" in lines[0]
    assert len(lines) == len(bundled_models())


def test_info_describes_the_default_model_and_the_machine():
    facts = json.loads(run("info", "--json"))

    assert facts["model"] == DEFAULT_MODEL
    assert facts["scale"] == 4
    assert facts["licence"]
    assert facts["python"] == ".".join(map(str, sys.version_info[:3]))
    assert facts["torch"] == torch.__version__


def test_info_counts_the_parameters_of_a_model(tmp_path):
    model = small_model("lite student")
    save_model(tmp_path / "a.safetensors", model, CARD)

    text = run("info", tmp_path / "a.safetensors")

    count = sum(p.numel() for p in model.network.parameters())
    assert f"lite_denoiser, {count:,} parameters" in text
    assert "Apache-2.0" in text
    assert "random weights" in text


def test_info_describes_a_picture(tmp_path):
    samples = np.zeros((6, 8, 4), np.uint8)
    Image.fromarray(samples).save(tmp_path / "a.png", dpi=(300, 300))

    facts = json.loads(run("info", tmp_path / "a.png", "--json"))

    assert facts["format"] == "PNG"
    assert facts["size"] == "8x6"
    assert facts["samples"] == "RGB with alpha, 8 bit"
    assert facts["metadata"] == "dpi"


def test_info_prints_one_fact_a_line_in_two_columns():
    lines = run("info").splitlines()

    assert all("  " in line for line in lines)
    assert lines[0].split() == ["model", DEFAULT_MODEL]


def test_convert_does_not_replace_a_file_unless_told(tmp_path):
    target = tmp_path / "a.safetensors"
    target.write_bytes(b"mine")

    with pytest.raises(SettingsError, match="exists") as caught:
        run("convert", tmp_path / "x.pth", "-a", tmp_path / "y.pth", "-o", target)

    assert caught.value.hint == "use --overwrite to replace it"
    assert target.read_bytes() == b"mine"


def test_convert_makes_a_model_file_and_prints_its_licence(tmp_path, monkeypatch):
    """At small sizes; tests/e2e/test_convert.py does it at the published ones."""
    from hfdiff.model.convert import assemble

    networks = small_model("base student")
    torch.save(networks.network.state_dict(), tmp_path / "SinSR_v1.pth")
    torch.save(networks.codec.autoencoder.state_dict(), tmp_path / "autoencoder_vq_f4.pth")
    config = networks.config
    monkeypatch.setattr(assemble, "SwinUNetConfig", lambda: config.network)
    monkeypatch.setattr(assemble, "VQAutoencoderConfig", lambda: config.codec)

    said = run(
        *("convert", tmp_path / "SinSR_v1.pth", "-a", tmp_path / "autoencoder_vq_f4.pth"),
        *("-o", tmp_path / "new" / "sinsr.safetensors"),
    )

    model, description = load_model(tmp_path / "new" / "sinsr.safetensors")
    count = sum(p.numel() for p in model.network.parameters())
    assert f"SinSR_v1, {count:,} + " in said
    assert f"licence: {description.card.licence}" in said
