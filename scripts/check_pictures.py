"""Odd and broken pictures of a folder through the installed command, compared with other decoders.

Example: python scripts/check_pictures.py pillow/Tests/images pngsuite -o checked

Every file of the folders (not of those within) is given to ``hfdiff upscale`` by name, whatever it
is called, with the model that has no weights. Then each file in a format that hfdiff reads is
decoded again by libvips, where it can, else by tifffile or Pillow, and compared with its output:
size, grey or colour, alpha, and mean colour. Fails on a traceback, a time limit, a difference, or
when more than one in a hundred files that another decoder reads was refused.
"""

import argparse
import json
import subprocess
import sys
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import pyvips
import tifffile
import torch
from PIL import Image, ImageOps
from torch.nn import functional

FORMATS = ("PNG", "JPEG", "MPO", "WEBP", "TIFF", "BMP", "GIF", "AVIF")
LARGEST_DIFFERENCE = 2.5 / 255
REFUSALS = 0.01
HFDIFF = Path(sys.executable).with_name("hfdiff")


def main() -> int:
    """Run, compare, report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True, help="a folder; is kept")
    parser.add_argument("--seconds", type=int, default=3600, help="limit for each folder")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    Image.init()  # all plugins, so that naming formats finds them
    Image.MAX_IMAGE_PIXELS = None
    found: Counter[str] = Counter()
    for number, folder in enumerate(arguments.folders):
        records = upscaled(folder, arguments.output / str(number), arguments.seconds)
        for record in records:
            verdict, reason = judged(record)
            found[verdict] += 1
            if verdict in ("different", "refused"):
                print(f"{verdict}: {Path(record['path']).name}: {reason}")
    decodable = found["right"] + found["different"] + found["refused"]
    print(", ".join(f"{count} {verdict}" for verdict, count in found.most_common()))
    print(f"refused {found['refused']} of {decodable} that another decoder reads")
    return int(found["different"] > 0 or found["refused"] > REFUSALS * decodable)


def upscaled(folder: Path, output: Path, seconds: int) -> list[dict]:
    """The records of one run over the files of a folder."""
    files = sorted(str(file) for file in folder.iterdir() if file.is_file())
    command = [str(HFDIFF), "upscale", "--model", "identity", "--json", "-o", f"{output}/", *files]
    # No check of the exit code: some files fail, and are meant to.
    done = subprocess.run(command, capture_output=True, timeout=seconds, check=False)
    error = done.stderr.decode(errors="replace")
    if "Traceback" in error or done.returncode not in (0, 1):
        sys.exit(f"exit code {done.returncode}: {error[-2000:]}")
    records = [json.loads(line) for line in done.stdout.decode().splitlines()]
    if len(records) != len(files):
        sys.exit(f"{len(files)} files, {len(records)} records")
    return records


def judged(record: dict) -> tuple[str, str]:
    """What became of a file, and what is wrong with it if something is."""
    path = Path(record["path"])
    reference = decoded(path)
    if reference is None:
        return ("undecodable" if record["status"] == "failed" else "right by hfdiff alone"), ""
    if record["status"] != "done":
        return "refused", record["reason"]
    output = decoded(Path(record["output"]))
    if output is None:
        return "different", "the output cannot be decoded"
    problems = differences(reference, output)
    return ("different", "; ".join(problems)) if problems else ("right", "")


def decoded(path: Path) -> np.ndarray | None:
    """The first picture of a file as ``[H, W, 1..4]`` in [0, 1], upright; None if nobody can."""
    try:
        with Image.open(path) as image:
            if image.format not in FORMATS:
                return None
    except Exception:  # noqa: BLE001  (whatever Pillow raises, it is no picture to it)
        pass
    for decoder in (by_vips, by_tifffile, by_pillow):
        try:
            return decoder(path)
        except Exception:  # noqa: BLE001  (decoders fail in their own ways)
            continue
    return None


def by_vips(path: Path) -> np.ndarray:
    """By libvips; formats that hfdiff does not read are refused here too."""
    loader = pyvips.Image.new_from_buffer(path.read_bytes(), "", fail_on="error")
    kind = str(loader.get("vips-loader"))
    if not any(name in kind for name in ("png", "jpeg", "webp", "tiff", "gif", "heif")):
        raise ValueError(kind)
    image = loader.autorot()
    if image.interpretation == "cmyk":
        if image.get_typeof("icc-profile-data"):
            image = image.icc_transform("srgb", embedded=True, intent="relative")
        else:  # as browsers show inks of no profile
            ink = image.numpy() / (65_535 if image.format == "ushort" else 255)
            return (1 - ink[:, :, :3]) * (1 - ink[:, :, 3:])
    peak = {"uchar": 255, "ushort": 65_535}[image.format]
    bits = int(image.get("bits-per-sample")) if "heif" in kind else 16
    if image.format == "ushort" and bits < 16:
        peak = ((1 << bits) - 1) << (16 - bits)
    return image.numpy().reshape(image.height, image.width, image.bands) / peak


def by_tifffile(path: Path) -> np.ndarray:
    """Grey and RGB of whole numbers."""
    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        samples = page.asarray()
    known = page.photometric in (1, 2) and page.axes in ("YX", "YXS")
    if samples.dtype not in (np.uint8, np.uint16) or not known:
        raise ValueError(f"{samples.dtype} {page.photometric} {page.axes}")
    height, width, *bands = samples.shape
    return samples.reshape(height, width, *(bands or [1])) / np.iinfo(samples.dtype).max


def by_pillow(path: Path) -> np.ndarray:
    """No second opinion on 8 bits, but on whether there is a picture at all."""
    with Image.open(path, formats=[name for name in FORMATS if name in Image.OPEN]) as opened:
        opened.load()
        image = ImageOps.exif_transpose(opened)
    if image.mode in ("F", "I"):
        return np.asarray(image, np.float64)[:, :, None] / 65_535
    if image.mode.startswith("I;16"):
        bits = opened.tag_v2.get(258, (16,))[0] if opened.format == "TIFF" else 16
        return np.asarray(image).astype(float)[:, :, None] / ((1 << bits) - 1)
    if image.mode == "LAB":
        return srgb_of_lab(np.asarray(image))
    grey, alpha = image.mode in ("1", "L", "LA"), image.has_transparency_data
    plain = image.convert(("LA" if alpha else "L") if grey else ("RGBA" if alpha else "RGB"))
    samples = np.asarray(plain) / 255
    return samples[:, :, None] if samples.ndim == 2 else samples


def srgb_of_lab(samples: np.ndarray) -> np.ndarray:
    """8-bit Lab of white D50 as sRGB, by the formulas of CIE and of Bradford's adaptation."""
    lightness = samples[:, :, 0].astype(float)
    a, b = np.moveaxis(samples[:, :, 1:].astype(np.int8).astype(float), 2, 0)
    f_y = (lightness * 100 / 255 + 16) / 116
    f = np.stack((f_y + a / 500, f_y, f_y - b / 200), 2)
    xyz = np.where(f > 6 / 29, f**3, (f - 4 / 29) * 3 * (6 / 29) ** 2) * (0.9642, 1.0, 0.8249)
    to_linear = [[3.1339, -1.6169, -0.4906], [-0.9788, 1.9161, 0.0335], [0.0719, -0.2290, 1.4052]]
    linear = (xyz @ np.transpose(to_linear)).clip(0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def differences(reference: np.ndarray, output: np.ndarray) -> list[str]:
    """What an output four times as large does not share with its source."""
    problems = []
    height, width = reference.shape[:2]
    if output.shape[:2] != (4 * height, 4 * width):
        problems.append(f"size {output.shape[:2]} of {reference.shape[:2]}")
    if is_transparent(reference) != is_transparent(output):
        problems.append("alpha")
    if is_coloured(reference) and not is_coloured(output):
        problems.append("grey")
    offset = np.abs(mean_colour(reference, 4) - mean_colour(output)).max()
    tiny = height * width < 100  # where what the enlargement does at edges weighs most
    if offset > LARGEST_DIFFERENCE * (4 if tiny else 1):
        problems.append(f"mean colour differs by {255 * offset:.1f}/255")
    return problems


def is_transparent(samples: np.ndarray) -> bool:
    """Whether something shows through."""
    return samples.shape[2] in (2, 4) and bool(samples[:, :, -1].min() < 1)


def is_coloured(samples: np.ndarray) -> bool:
    """Whether channels differ where something is seen."""
    seen = samples[:, :, :3] * samples[:, :, 3:] if samples.shape[2] == 4 else samples
    return samples.shape[2] >= 3 and float(np.ptp(seen, 2).max()) > LARGEST_DIFFERENCE


def mean_colour(samples: np.ndarray, scale: int = 1) -> np.ndarray:
    """Over black: what is seen, whatever stands behind transparency.

    Args:
        samples: ``[H, W, 1..4]`` in [0, 1].
        scale: By which to enlarge first, so that what bicubic enlargement cuts off counts alike.
    """
    bands = samples.shape[2]
    colour = samples[:, :, : bands - 1] * samples[:, :, -1:] if bands in (2, 4) else samples
    if scale > 1 and colour.shape[0] * colour.shape[1] < 1_000_000:  # matters in small ones only
        planes = torch.from_numpy(np.ascontiguousarray(colour, np.float32)).permute(2, 0, 1)[None]
        larger = functional.interpolate(planes, scale_factor=scale, mode="bicubic")
        colour = larger[0].clamp(0, 1).permute(1, 2, 0).numpy()
    return np.broadcast_to(colour.mean((0, 1)), (3,))


if __name__ == "__main__":
    sys.exit(main())
