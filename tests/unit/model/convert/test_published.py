"""Reading published files: every wrapper and prefix, and every wrong file by its name."""

import hashlib
import io
import json
import zipfile

import pytest
import torch
from safetensors.torch import save_file

from hfdiff.core.errors import CheckpointError
from hfdiff.model.convert.published import read_published
from hfdiff.nn.autoencoder import VQAutoencoder, VQAutoencoderConfig
from hfdiff.nn.swin_unet import SwinUNet, SwinUNetConfig
from support import reference

UNET = SwinUNetConfig(
    image_size=8,
    model_channels=32,
    channel_mult=(1,),
    num_res_blocks=(1,),
    attention_resolutions=(8,),
    swin_embed_dim=32,
    num_head_channels=16,
    window_size=4,
    mlp_ratio=1.0,
)
AUTOENCODER = VQAutoencoderConfig(n_embed=8, ch=32, ch_mult=(1,), num_res_blocks=1)
SIZES = {"unet": UNET, "autoencoder": AUTOENCODER}


def constants(side: int) -> dict[str, torch.Tensor]:
    """Buffers as the originals store them; the side of the mask may be anything."""
    block = "input_blocks.1.1.blocks.1"
    return {
        f"{block}.attn_mask": torch.zeros(side, 16, 16),
        f"{block}.attn.relative_position_index": torch.zeros(16, 16, dtype=torch.int64),
    }


@pytest.fixture(scope="module")
def unet():
    return SwinUNet(UNET).state_dict()


@pytest.fixture(scope="module")
def autoencoder():
    return VQAutoencoder(AUTOENCODER).state_dict()


def saved(folder, document, name="weights.pth"):
    path = folder / name
    torch.save(document, path)
    return path


def same(tensors, expected) -> bool:
    return tensors.keys() == expected.keys() and all(
        torch.equal(tensors[key], expected[key]) for key in expected
    )


VARIANTS = json.loads(reference("state_dict_loading.json").read_text())["variants"]


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant["name"])
@pytest.mark.parametrize("with_constants", [True, False])
def test_every_wrapper_and_prefix_of_the_originals_is_taken_off(
    tmp_path, unet, variant, with_constants
):
    weights = unet | (constants(4) if with_constants else {})
    document = {variant["key_prefix"] + key: tensor for key, tensor in weights.items()}
    if variant["container"] == "state_dict":
        counts = {"iters_start": 7, "log_step": {"train": 7}, "log_step_img": {"train": 1}}
        document = {**counts, "state_dict": document, "amp_scaler": {"scale": 65536.0}}
    path = saved(tmp_path, document)

    published = read_published(path, **SIZES)

    assert published.kind == "unet"
    assert same(published.tensors, unet)
    assert published.source_sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_averaged_weights_come_before_raw_ones(tmp_path, unet):
    raw = {key: torch.zeros_like(tensor) for key, tensor in unet.items()}

    published = read_published(saved(tmp_path, {"model": raw, "ema": unet, "step": 3}), **SIZES)

    assert same(published.tensors, unet)


def test_a_bare_autoencoder_is_read(tmp_path, autoencoder):
    published = read_published(saved(tmp_path, autoencoder), **SIZES)

    assert published.kind == "autoencoder"
    assert same(published.tensors, autoencoder)


def test_the_losses_of_the_latent_diffusion_file_are_dropped(tmp_path, autoencoder):
    losses = {"loss.discriminator.main.0.weight": torch.zeros(2, 2), "loss.logvar": torch.zeros(())}

    published = read_published(
        saved(tmp_path, {"state_dict": autoencoder | losses, "epoch": 3}), **SIZES
    )

    assert same(published.tensors, autoencoder)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_weights_become_float32(tmp_path, unet, dtype):
    half = {key: tensor.to(dtype) for key, tensor in unet.items()}

    published = read_published(saved(tmp_path, half), **SIZES)

    assert same(published.tensors, {key: tensor.float() for key, tensor in half.items()})


def test_the_old_file_format_of_torch_is_read(tmp_path, unet):
    path = tmp_path / "old.pth"
    torch.save(unet, path, _use_new_zipfile_serialization=False)

    assert same(read_published(path, **SIZES).tensors, unet)


@pytest.mark.parametrize("kind", ["unet", "autoencoder"])
def test_the_published_sizes_are_the_default(tmp_path, kind):
    """All official keys and shapes; one stored number each keeps the file small."""
    recorded = json.loads(reference("official_state_dicts.json").read_text())[kind]
    whole = {
        key: torch.zeros(1, dtype=getattr(torch, dtype)).expand(shape)
        for key, (shape, dtype) in recorded["tensors"].items()
    }

    published = read_published(saved(tmp_path, whole), expect=kind)

    assert published.kind == kind
    assert sum(t.numel() for t in published.tensors.values()) == recorded["parameters_total"]


def refusal(path, **options) -> CheckpointError:
    with pytest.raises(CheckpointError) as caught:
        read_published(path, **(SIZES | options))
    assert str(path) in str(caught.value)
    return caught.value


@pytest.mark.parametrize("expect", ["unet", "autoencoder"])
def test_the_other_kind_is_named(tmp_path, unet, autoencoder, expect):
    path = saved(tmp_path, autoencoder if expect == "unet" else unet)

    message = str(refusal(path, expect=expect))

    denoiser, codec = "a ResShift or SinSR denoising network", "a VQ autoencoder"
    holds, wants = (codec, denoiser) if expect == "unet" else (denoiser, codec)
    assert f"holds {holds}; expected was {wants}" in message


@pytest.mark.parametrize(
    ("keys", "name"),
    [
        (["conv_first.weight", "body.0.rdb1.conv1.weight"], "a Real-ESRGAN or ESRGAN network"),
        (["conv_first.weight", "RRDB_trunk.0.RDB1.conv1.weight"], "an ESRGAN network"),
        (["conv_first.weight", "layers.0.residual_group.x"], "a SwinIR network"),
        (["encoder.conv_in.weight", "decoder.conv_in.weight"], "a KL autoencoder"),
        (["model.diffusion_model.out.0.weight"], "a Stable Diffusion model"),
        (["features.0.weight", "classifier.0.weight"], "a VGG or AlexNet classifier"),
        (["b.weight", "a.weight"], "an unknown network with keys such as a.weight, b.weight"),
    ],
)
def test_a_foreign_network_is_named(tmp_path, keys, name):
    weights = {key: torch.zeros(2) for key in keys}

    message = str(refusal(saved(tmp_path, {"params_ema": weights})))

    assert f"holds {name}" in message
    assert "expected was a ResShift or SinSR denoising network or a VQ autoencoder" in message


def test_missing_and_added_tensors_are_both_named_with_a_count(tmp_path, unet):
    weights = {key: tensor for key, tensor in unet.items() if not key.startswith("output_blocks.1")}
    weights["extra.weight"] = torch.zeros(2)
    gone = sorted(unet.keys() - weights.keys())

    message = str(refusal(saved(tmp_path, weights)))

    first = ", ".join(gone[:5])
    assert f"it lacks {len(gone)} tensors ({first} and {len(gone) - 5} more)" in message
    assert "it adds 1 tensors (extra.weight)" in message


def test_other_sizes_are_named(tmp_path, unet):
    wide = unet | {"input_blocks.0.0.weight": torch.zeros(32, 7, 3, 3)}

    error = refusal(saved(tmp_path, wide))

    assert "in 1 of" in str(error)
    assert "input_blocks.0.0.weight must have the shape [32, 6, 3, 3], got [32, 7, 3, 3]" in str(
        error
    )
    assert "face and inpainting" in error.hint


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (torch.full((3,), float("nan")), "out.2.bias holds values that are not finite"),
        (torch.zeros(3, dtype=torch.int64), "out.2.bias must hold floats, got torch.int64"),
    ],
)
def test_values_that_are_no_weights_are_named(tmp_path, unet, value, message):
    assert message in str(refusal(saved(tmp_path, unet | {"out.2.bias": value})))


def test_a_key_with_and_without_a_prefix_is_refused(tmp_path, unet):
    twice = unet | {"module.out.2.bias": torch.zeros(3)}

    assert "with and without a prefix" in str(refusal(saved(tmp_path, twice)))


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([1, 2], "holds a list, not named weights"),
        ({}, "holds no weights"),
        ({"lr": 1.0, "step": 3}, "entries that are no tensors: lr, step"),
    ],
)
def test_a_document_without_weights_is_refused(tmp_path, document, message):
    assert message in str(refusal(saved(tmp_path, document)))


class Stranger:
    """A class that a weight file must not bring in."""


def test_a_file_that_would_run_code_is_not_loaded(tmp_path, unet):
    error = refusal(saved(tmp_path, {"state_dict": unet, "config": Stranger()}))

    assert "holds more than tensors and plain values" in str(error)
    assert "could run code" in error.hint


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("share", [0.3, 0.99])
def test_a_file_that_is_cut_off_is_named(tmp_path, unet, zipped, share):
    stream = io.BytesIO()
    torch.save(unet, stream, _use_new_zipfile_serialization=zipped)
    path = tmp_path / "half.pth"
    path.write_bytes(stream.getvalue()[: int(len(stream.getvalue()) * share)])

    error = refusal(path)

    assert "is cut off: it ends after" in str(error)
    assert error.hint == "download it again"


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"", "an empty file"),
        (b"\n<!DOCTYPE html><html>Not found</html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "a git-lfs pointer"),
        (b"\x89PNG\r\n\x1a\n", "a PNG picture"),
        (b"hello, world: these are no weights", "a file of an unknown format"),
    ],
)
def test_a_file_that_torch_did_not_write_is_named(tmp_path, content, name):
    path = tmp_path / "weights.pth"
    path.write_bytes(content)

    assert f"is {name}, not a PyTorch weight file" in str(refusal(path))


def test_a_renamed_safetensors_file_is_named(tmp_path, unet):
    path = tmp_path / "model.pth"
    save_file(unet, path)

    error = refusal(path)

    assert "is a safetensors file" in str(error)
    assert "needs no conversion" in error.hint


def test_another_zip_archive_is_named(tmp_path):
    path = tmp_path / "weights.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")

    assert "is a zip archive, not a PyTorch weight file" in str(refusal(path))


def test_a_damaged_archive_is_refused(tmp_path):
    path = tmp_path / "weights.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("weights/data.pkl", b"\x80\x02}q\x00.")

    refusal(path)


def test_a_missing_file_is_named(tmp_path):
    assert "does not exist" in str(refusal(tmp_path / "none.pth"))
