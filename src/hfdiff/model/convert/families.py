"""What a weight file is, by its first bytes and by its keys: for messages that name it."""

from collections.abc import Iterable, Mapping
from pathlib import Path

FAMILIES: Mapping[str, tuple[str, ...]] = {
    "unet": ("input_blocks.0.0.weight", "middle_block.1.patch_embed.proj."),
    "autoencoder": ("encoder.conv_in.", "decoder.conv_in.", "quantize.embedding."),
    "a KL autoencoder of latent diffusion": ("encoder.conv_in.", "decoder.conv_in."),
    "a Stable Diffusion model": ("model.diffusion_model.",),
    "a guided-diffusion network without Swin layers": ("input_blocks.0.0.", "middle_block."),
    "a diffusers network": ("down_blocks.0.",),
    "a Real-ESRGAN or ESRGAN network": ("conv_first.", "body.0.rdb1."),
    "an ESRGAN network": ("conv_first.", "RRDB_trunk.0."),
    "an ESRGAN network in its first layout": ("model.0.", "model.1.sub.0."),
    "a compact Real-ESRGAN network": ("body.0.weight", "body.1.weight"),
    "a SwinIR network": ("conv_first.", "layers.0.residual_group."),
    "a VGG or AlexNet classifier": ("features.0.weight", "classifier."),
    "the heads of LPIPS": ("lin0.model.",),
    "a vision transformer such as DINOv2": ("cls_token", "blocks.0."),
}
"""Name of a family and the beginnings of keys that all occur in it; the first that fits counts."""

_SIGNATURES: Mapping[bytes, str] = {
    b"version https://git-lfs": "a git-lfs pointer",
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"\x1f\x8b": "a gzip archive",
    b"7z\xbc\xaf": "a 7z archive",
    b"Rar!": "a RAR archive",
}
_PAGES = (b"<!doctype", b"<html", b"<?xml", b"<head")
_TORCH = (b"PK", b"\x80")
"""Zip archives, and pickles of protocol 2 and later, which torch wrote before."""


def family_of(keys: Iterable[str]) -> str | None:
    """The family that a set of keys belongs to, or None."""
    names = list(keys)
    for family, starts in FAMILIES.items():
        if all(any(name.startswith(start) for name in names) for start in starts):
            return family
    return None


def foreign_format(path: Path) -> str | None:
    """What a file is that torch did not write, or None for one that torch may have written."""
    with path.open("rb") as stream:
        head = stream.read(512)
    if not head:
        return "an empty file"
    for signature, name in _SIGNATURES.items():
        if head.startswith(signature):
            return name
    if head.lstrip().lower().startswith(_PAGES):
        return "a web page"
    if head[8:9] == b"{" and 8 + int.from_bytes(head[:8], "little") <= path.stat().st_size:
        return "a safetensors file"
    return None if head.startswith(_TORCH) else "a file of an unknown format"
