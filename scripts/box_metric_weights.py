"""Make the small metric weights that ship inside the package from the packages that publish them.

    pip download --no-deps -d DIR lpips==0.1.4 DISTS-pytorch==0.1 basicsr==1.4.2
    python scripts/box_metric_weights.py DIR

LPIPS heads, DISTS alpha and beta, NIQE's model of pristine pictures: each with its licence text.
"""

import io
import sys
import tarfile
import zipfile
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from hfdiff.core.weights import write_weights

PACKAGE = Path(__file__).resolve().parents[1] / "src" / "hfdiff"
HEADS = {
    "alex": "df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0",
    "vgg": "a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868",
}
DISTS = "f5e65c96230b7f6ca995691647d482237e4cab8a50c5c4a5784f219ef0748218"
NIQE = "2a7c182a68c9e7f1b2e2e5ec723279d6f65d912b6fcaf37eb2bf03d7367c4296"


def main(folder: Path) -> None:
    """Write the three .safetensors files and their licence texts into the package."""
    with zipfile.ZipFile(next(folder.glob("lpips-0.1.4-*.whl"))) as wheel:
        heads = {}
        for kind, digest in HEADS.items():
            state = unpickled(wheel.read(f"lpips/weights/v0.1/{kind}.pth"), digest)
            heads |= {f"{kind}.{k}": state[f"lin{k}.model.1.weight"].flatten() for k in range(5)}
        licence = wheel.read("lpips-0.1.4.dist-info/LICENSE")
    box("nn", "lpips_heads", heads, licence, "lpips 0.1.4, weights v0.1", "BSD-2-Clause")

    with zipfile.ZipFile(next(folder.glob("DISTS_pytorch-0.1-*.whl"))) as wheel:
        state = unpickled(wheel.read("DISTS_pytorch/weights.pt"), DISTS)
        licence = wheel.read("DISTS_pytorch-0.1.dist-info/LICENSE")
    weights = {key: state[key].flatten() for key in ("alpha", "beta")}
    box("metrics", "dists", weights, licence, "DISTS-pytorch 0.1", "MIT")

    with tarfile.open(next(folder.glob("basicsr-1.4.2*.tar.gz"))) as bundle:
        content = member(bundle, "basicsr-1.4.2/basicsr/metrics/niqe_pris_params.npz")
        licence = member(bundle, "basicsr-1.4.2/LICENSE.txt")
    arrays = np.load(io.BytesIO(checked(content, NIQE)))
    pristine = {
        "mean": torch.from_numpy(arrays["mu_pris_param"]).flatten(),
        "covariance": torch.from_numpy(arrays["cov_pris_param"]),
        "window": torch.from_numpy(arrays["gaussian_window"]),
    }
    box("metrics", "niqe", pristine, licence, "basicsr 1.4.2", "Apache-2.0")


def box(
    part: str, name: str, tensors: dict[str, Tensor], text: bytes, source: str, licence: str
) -> None:
    """Write one .safetensors file and the licence text beside it."""
    data = PACKAGE / part / "data"
    metadata = {"origin": source, "licence": licence}
    write_weights(data / f"{name}.safetensors", tensors, metadata)
    (data / f"{name}.LICENSE.txt").write_bytes(text)


def unpickled(content: bytes, digest: str) -> dict[str, Tensor]:
    """A state dict, read with weights_only."""
    stream = io.BytesIO(checked(content, digest))
    return torch.load(stream, map_location="cpu", weights_only=True)  # noqa: TID251


def member(bundle: tarfile.TarFile, name: str) -> bytes:
    """The bytes of one file in an archive."""
    stream = bundle.extractfile(name)
    return stream.read() if stream else b""


def checked(content: bytes, digest: str) -> bytes:
    """The content, if it has this SHA-256."""
    found = sha256(content).hexdigest()
    if found != digest:
        sys.exit(f"expected sha256 {digest}, got {found}")
    return content


if __name__ == "__main__":
    main(Path(sys.argv[1]))
