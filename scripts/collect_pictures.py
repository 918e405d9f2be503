"""Collect training pictures under permissive terms from Debian packages, cut into tiles.

    python scripts/collect_pictures.py --work /tmp/pictures-work --out pictures [--textures]
        [--train-free FOLDER]

Run it on Debian 12 or a derivative (``apt-get download`` and ``dpkg -x``; nothing is installed).
The result is ``OUT/train`` and ``OUT/held_out`` with 512x512 PNG tiles, ``OUT/manifest.csv`` with
source, author, licence and hashes of every tile, ``OUT/originals.csv`` with one row per picture
(the attribution), and list files of both parts. A finished package is not done twice. Terms with
share-alike are left out (picture_sources.py).
"""

import argparse
import csv
import hashlib
import io
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from picture_measures import detail_of, fingerprint, flat_share, is_repeat, sharpness
from picture_sources import SOURCES, Original, Source, originals
from PIL import Image, ImageOps

TILE = 512
# A texture tile may come at most this often among the tiles for training.
TEXTURE_SHARE = 1 / 3
# Sharpness ratio: below the first an enlarged picture, below the second it is halved before use.
ENLARGED, SOFT = 0.30, 0.60
# Tiles with less energy in their finest octave (grey levels) are sky, water or out of focus.
MIN_DETAIL = 1.0
NOT_COLOUR = (
    "normal",
    "gloss",
    "spec",
    "mask",
    "height",
    "_nm",
    "_n.",
    "_s.",
    "_sm.",
    "_local",
    "bump",
)
COLUMNS = ("file", "source", "original", "author", "licence", "split", "kind", "x", "y", "shrunk",
           "ratio", "detail", "sha256_original", "sha256")  # fmt: skip
ORIGINAL_COLUMNS = ("source", "original", "author", "licence", "split", "kind", "tiles",
                    "sha256_original")  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Tile:
    """One row of the manifest, less its place."""

    name: str
    source: str
    original: str
    author: str
    licence: str
    kind: str
    held_out: bool
    x: int
    y: int
    shrunk: float
    ratio: float
    detail: float
    sha256_original: str
    sha256: str


def main() -> int:
    """Collect, place, write the manifest, say what came of it."""
    options = _options()
    options.out.mkdir(parents=True, exist_ok=True)
    seen: list[tuple[int, np.ndarray]] = []
    tiles: list[Tile] = []
    for source in SOURCES:
        if source.kind == "photo" or options.textures:
            tiles += _source_tiles(source, options, seen)
    if options.train_free:
        tiles += _train_free_tiles(options.train_free, options.out)
    _write_manifest(options.out, _placed(tiles, options.out))
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of the tiles")
    parser.add_argument("--work", type=Path, required=True, help="folder for packages")
    parser.add_argument("--textures", action="store_true", help="also textures (2 GB of packages)")
    parser.add_argument("--train-free", type=Path, help="folder with train/ and manifest.csv")
    return parser.parse_args()


# One package -------------------------------------------------------------------------------------


def _source_tiles(
    source: Source, options: argparse.Namespace, seen: list[tuple[int, np.ndarray]]
) -> list[Tile]:
    part = options.out / "parts" / f"{source.package}.json"
    if not part.exists():
        try:
            archive = _download(source.package, options.work)
        except (OSError, subprocess.CalledProcessError) as error:
            print(f"{source.package}: not to be had, skipped ({error})")
            return []
        _write_text(part, json.dumps(_cut_package(source, archive, options, seen)))
    record = json.loads(part.read_text("utf-8"))
    seen += [(code, np.array(small, np.float32)) for code, small in record["seen"]]
    print(
        f"{source.package}: {len(record['tiles'])} tiles; pictures {record['counts']}", flush=True
    )
    return [Tile(**tile) for tile in record["tiles"]]


def _download(package: str, work: Path) -> Path:
    work.mkdir(parents=True, exist_ok=True)
    if not (found := sorted(work.glob(f"{package}_*.deb"))):
        command = ["apt-get", "download", "-q", package]
        subprocess.run(command, cwd=work, check=True, capture_output=True)
        found = sorted(work.glob(f"{package}_*.deb"))
    return found[-1]


def _cut_package(
    source: Source, archive: Path, options: argparse.Namespace, seen: list[tuple[int, np.ndarray]]
) -> dict[str, Any]:
    root = options.work / "unpacked" / source.package
    root.mkdir(parents=True, exist_ok=True)
    subprocess.run(["dpkg", "-x", archive, root], check=True)
    version = archive.name.split("_")[1].replace("%3a", ":")
    tiles: list[Tile] = []
    own: list[tuple[int, np.ndarray]] = []
    counts: Counter[str] = Counter()
    for original in originals(source, root):
        picture, verdict = _usable(original, source.kind)
        if picture is not None:
            code, small = fingerprint(picture)
            if is_repeat(code, small, [*seen, *own]):
                verdict = "repeat"
            else:
                own.append((code, small))
                tiles += _cut(picture, original, source, f"{source.package} {version}", options.out)
        counts[verdict] += 1
    return {
        "counts": dict(counts),
        "seen": [(code, small.tolist()) for code, small in own],
        "tiles": [asdict(tile) for tile in tiles],
    }


def _usable(original: Original, kind: str) -> tuple[Image.Image | None, str]:
    """The picture as RGB, or None and why not."""
    try:
        with Image.open(io.BytesIO(original.content)) as opened:
            if min(opened.size) < TILE:
                return None, "small"
            if opened.has_transparency_data:
                picture = opened.convert("RGBA")
            else:
                picture = ImageOps.exif_transpose(opened)
            if _transparent_share(picture) > 0.15:
                return None, "transparent"
            picture = picture.convert("RGB")
    except (OSError, ValueError, Image.DecompressionBombError):
        return None, "unreadable"
    if kind == "texture" and (reason := _unfit_texture(picture, original.path)):
        return None, reason
    ratio = sharpness(picture)
    if ratio < ENLARGED:
        return None, "enlarged"
    if ratio < SOFT and min(picture.size) < 1.2 * TILE:
        return None, "soft, too small to shrink"
    return picture, "used"


def _transparent_share(picture: Image.Image) -> float:
    if not picture.has_transparency_data:
        return 0.0
    return float((np.asarray(picture.convert("RGBA"))[..., 3] < 250).mean())


def _unfit_texture(picture: Image.Image, path: str) -> str:
    if any(word in path.rpartition("/")[2].lower() for word in NOT_COLOUR):
        return "not colour"
    levels = np.asarray(picture, np.float32)
    if float(np.abs(levels - levels.mean(-1, keepdims=True)).mean()) < 2:
        return "grey"
    if float(levels.mean()) < 14:
        return "dark"
    red, green, blue = levels.mean((0, 1))
    if blue > 200 and max(abs(red - 128), abs(green - 128)) < 24:
        return "not colour"  # the violet of a normal map
    return "flat" if flat_share(levels) > 0.35 else ""


# Tiles -------------------------------------------------------------------------------------------


def _cut(
    picture: Image.Image, original: Original, source: Source, label: str, out: Path
) -> list[Tile]:
    ratio = sharpness(picture)
    shrunk = _shrink_factor(picture, ratio)
    if shrunk > 1:
        size = (round(picture.width / shrunk), round(picture.height / shrunk))
        picture = picture.resize(size, Image.Resampling.LANCZOS)
    digest = hashlib.sha256(original.content).hexdigest()
    tiles = []
    for x, y in _places(picture.size):
        tile = picture.crop((x, y, x + TILE, y + TILE))
        detail = detail_of(tile)
        if detail < MIN_DETAIL or flat_share(np.asarray(tile, np.float32)) > 0.75:
            continue
        name = f"{source.package}-{digest[:12]}-{x}-{y}.png"
        tiles.append(
            Tile(
                name=name,
                source=label,
                original=original.path,
                author=original.terms.author,
                licence=original.terms.licence,
                kind=source.kind,
                held_out=source.held_out,
                x=x,
                y=y,
                shrunk=round(shrunk, 3),
                ratio=round(ratio, 3),
                detail=round(detail, 2),
                sha256_original=digest,
                sha256=_save_tile(tile, out / _folder(source.held_out) / name),
            )
        )
    return tiles


def _shrink_factor(picture: Image.Image, ratio: float) -> float:
    """2 for a soft picture, less where half of it would be smaller than a tile."""
    return min(2.0, min(picture.size) / TILE) if ratio < SOFT else 1.0


def _places(size: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """Left and top of tiles spread evenly; they overlap where the rest is more than 0.6 tiles."""
    columns, rows = (_spread(side) for side in size)
    yield from ((x, y) for y in rows for x in columns)


def _spread(side: int) -> list[int]:
    count = max(1, int(side / TILE + 0.4))
    if count == 1:
        return [(side - TILE) // 2]
    return [round(i * (side - TILE) / (count - 1)) for i in range(count)]


def _save_tile(tile: Image.Image, path: Path) -> str:
    buffer = io.BytesIO()
    tile.save(buffer, "png", compress_level=6)
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_suffix(".part")
    scratch.write_bytes(buffer.getvalue())
    scratch.replace(path)
    return hashlib.sha256(buffer.getvalue()).hexdigest()


def _train_free_tiles(folder: Path, out: Path) -> list[Tile]:
    """Group A tiles of a prepared folder, decoded to PNG; their manifest states the terms."""
    tiles = []
    with (folder / "manifest.csv").open(encoding="utf-8", newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["group"] == "A"]
    for row in rows:
        name = Path(row["file"]).with_suffix(".png").name
        place = out / "train" / name
        if row["file"].startswith("train/"):
            content = (folder / row["file"]).read_bytes()
            if not place.exists():
                _save_tile(Image.open(io.BytesIO(content)).convert("RGB"), place)
            tiles.append(_train_free_tile(row, name, content, place))
    print(f"train_free: {len(tiles)} tiles")
    return tiles


def _train_free_tile(row: dict[str, str], name: str, content: bytes, place: Path) -> Tile:
    with Image.open(place) as tile:
        detail = detail_of(tile)
    return Tile(
        name=name,
        source=row["source"],
        original=row["original"],
        author="Unsplash contributors",
        licence=row["licence"],
        kind="photo",
        held_out=False,
        x=int(row["x"]),
        y=int(row["y"]),
        shrunk=float(row["shrunk_by"]),
        ratio=0.0,  # not measured on the original
        detail=round(detail, 2),
        sha256_original=hashlib.sha256(content).hexdigest(),
        sha256=hashlib.sha256(place.read_bytes()).hexdigest(),
    )


# Placing and the manifest ------------------------------------------------------------------------


def _folder(held_out: bool) -> str:
    return "held_out" if held_out else "train"


def _placed(tiles: list[Tile], out: Path) -> list[dict[str, object]]:
    """Rows of the manifest; textures beyond their share are moved to ``spare`` and not listed."""
    photos = [tile for tile in tiles if tile.kind == "photo"]
    limit = int(TEXTURE_SHARE / (1 - TEXTURE_SHARE) * sum(not tile.held_out for tile in photos))
    # The order of the hashes is random with regard to content, and the same in every run.
    textures = sorted((t for t in tiles if t.kind == "texture"), key=lambda tile: tile.sha256)
    for tile in textures[:limit]:
        _move(out, tile.name, "spare", "train")
    for tile in textures[limit:]:
        _move(out, tile.name, "train", "spare")
    return [_row(tile) for tile in [*photos, *textures[:limit]]]


def _move(out: Path, name: str, source: str, target: str) -> None:
    if (out / source / name).exists():
        (out / target).mkdir(exist_ok=True)
        (out / source / name).replace(out / target / name)


def _row(tile: Tile) -> dict[str, object]:
    row = asdict(tile)
    split = _folder(row.pop("held_out"))
    return {**row, "file": f"{split}/{row.pop('name')}", "split": split}


def _write_manifest(out: Path, rows: list[dict[str, object]]) -> None:
    _write_table(out / "manifest.csv", COLUMNS, rows)
    by_original = {row["sha256_original"]: row for row in reversed(rows)}
    counts = Counter(row["sha256_original"] for row in rows)
    originals_rows = [{**row, "tiles": counts[key]} for key, row in by_original.items()]
    _write_table(out / "originals.csv", ORIGINAL_COLUMNS, originals_rows[::-1])
    for split in ("train", "held_out"):
        names = [str(row["file"]) for row in rows if row["split"] == split]
        _write_text(out / f"{split}.txt", "".join(f"{name}\n" for name in names))
        kinds = Counter(str(row["kind"]) for row in rows if row["split"] == split)
        print(f"{split}: {len(names)} tiles {dict(kinds)}")
    print("licences:", dict(Counter(str(row["licence"]) for row in rows)))


def _write_table(path: Path, columns: tuple[str, ...], rows: list[dict[str, object]]) -> None:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    _write_text(path, text.getvalue())


def _write_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.part")
    scratch.write_text(text, encoding="utf-8")
    scratch.replace(path)


if __name__ == "__main__":
    sys.exit(main())
