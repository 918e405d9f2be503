"""Where freely licensed pictures are, and under which terms each single file stands.

A table of Debian packages and the readers that turn one unpacked package into originals with
their own author and licence. Only terms without share-alike pass (``is_permissive``).
"""

import configparser
import fnmatch
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Terms:
    """Author and licence of one file, with the words that the package says about it."""

    author: str
    licence: str
    words: str = ""


@dataclass(frozen=True, kw_only=True)
class Original:
    """One picture as it lies in a package; ``path`` of a packed one is ``archive!inner``."""

    path: str
    content: bytes
    terms: Terms


@dataclass(frozen=True, kw_only=True)
class Source:
    """Pictures of one package.

    Args:
        package: Name of the Debian package.
        kind: Photographs were chosen one by one, textures pass an automatic filter.
        globs: Paths in the unpacked package (``archive!pattern`` looks into an archive).
        skip: Patterns of file names that stay out.
        rename: Installed prefix -> prefix that the copyright file uses.
        reader: Gives the terms of a path.
        refuse: Words in a licence paragraph that make it doubtful.
        held_out: The whole package is for tests, never for training.
    """

    package: str
    kind: Literal["photo", "texture"] = "photo"
    globs: tuple[str, ...]
    skip: tuple[str, ...] = ()
    rename: tuple[str, str] = ("", "")
    reader: Literal["copyright", "readme", "desktop", "krank"] = "copyright"
    refuse: tuple[str, ...] = ()
    held_out: bool = False


_LAND = "usr/share/games/endless-sky/plugins/endless-sky-high-dpi/"
_LOMIRI = ("Picture_0B", "Picture_1A", "Wine", "aitzgorri", "friends", "life", "picosdeeuropa",
           "seeding", "sunset")  # fmt: skip
_GCOMPRIS = ("erase", "clickgame", "explore_monuments", "explore_farm_animals",
             "explore_world_animals")  # fmt: skip
_SKIMAGE = ("astronaut.png", "brick.png", "grass.png", "gravel.png", "hubble_deep_field.jpg",
            "ihc.png", "moon.png", "retina.jpg")  # fmt: skip
_ELEMENTARY = ("mystrale_2", "panel_01", "plant_01", "rock_0*", "sky_0*", "wood_01")
# Without elyvisions and jwin: rendered skies.
_REDECLIPSE = ("philipk", "trak", "nobiax", "john", "dziq", "torley",
               "unnamed", "luckystrike", "snipergoth", "acerspyro", "mikeplus64", "jojo",
               "nieb")  # fmt: skip
_TEXTURE_TYPES = ("jpg", "jpeg", "png", "tga", "webp")

SOURCES: tuple[Source, ...] = (
    Source(
        package="krank",
        globs=("usr/share/games/krank/levels/unera-backgrounds/*.jpg",),
        skip=("menu-scores1.jpg",),  # the same picture as bonus-01.jpg
        reader="krank",
    ),
    Source(
        package="endless-sky-high-dpi",
        globs=(f"{_LAND}images/land/*.jpg",),
        # These names carry their share-alike author, although a later, wider pattern of the
        # copyright file (snow1*) matches some; canyon0* is meant for canyon0, not for canyon01.
        skip=("*-*@2x.jpg", "lava5@2x.jpg", "canyon0[1-9]@2x.jpg"),
        rename=(_LAND, ""),
        refuse=("morgue",),  # that site's own terms are narrower than the packager's words
    ),
    Source(
        package="gcompris-qt-data",
        globs=tuple(f"usr/share/gcompris-qt/rcc/{name}.rcc!*.webp" for name in _GCOMPRIS),
        reader="readme",
    ),
    Source(
        package="lomiri-wallpapers-16.04",
        globs=tuple(f"usr/share/backgrounds/{name}_by_*.jpg" for name in _LOMIRI),
        rename=("usr/share/backgrounds/", "16.04/"),
        held_out=True,
    ),
    Source(
        package="palapeli-data",
        globs=("usr/share/palapeli/collection/*.jpg",),
        reader="desktop",
        held_out=True,
    ),
    Source(
        package="puzzle-jigsaw",
        globs=("usr/share/puzzle-jigsaw/samples/*.jp*g",),
        rename=("usr/share/puzzle-jigsaw/", ""),
    ),
    Source(
        package="libelementary-data",
        globs=tuple(f"usr/share/elementary/images/{name}.jpg" for name in _ELEMENTARY),
        rename=("usr/share/", "data/"),
    ),
    Source(
        package="python3-skimage",
        globs=tuple(f"usr/lib/python3/dist-packages/skimage/data/{name}" for name in _SKIMAGE),
        rename=("usr/lib/python3/dist-packages/", ""),
    ),
    Source(
        package="libjxl-testdata",
        globs=("usr/share/libjxl-testdata/jxl/flower/flower.png",),
        rename=("usr/share/libjxl-testdata/", ""),
    ),
    Source(
        package="ufoai-textures",
        kind="texture",
        globs=("usr/share/games/ufoai/base/0textures.pk3!textures/*",),
        rename=("usr/share/games/ufoai/base/0textures.pk3!", "base/"),
    ),
    Source(
        package="supertuxkart-data",
        kind="texture",
        globs=tuple(
            f"usr/share/games/supertuxkart/data/{folder}/**/*.{suffix}"
            for folder in ("textures", "tracks", "library")
            for suffix in ("jpg", "png")
        ),
        skip=("*screenshot*", "*minimap*"),
        rename=("usr/share/games/supertuxkart/", ""),
    ),
    Source(
        package="cube2-data",
        kind="texture",
        # gk/ is left out: its JPEG files are compressed to visible blocks.
        globs=tuple(
            f"usr/share/games/cube2/packages/{folder}/**/*.{suffix}"
            for folder in ("textures", "gor", "brushes", "yo_frankie")
            for suffix in ("jpg", "png")
        ),
        skip=("license_info*",),
        rename=("usr/share/games/cube2/", ""),
    ),
    Source(
        package="redeclipse-data",
        kind="texture",
        globs=tuple(
            f"usr/share/games/redeclipse/data/{folder}/**/*.{suffix}"
            for folder in _REDECLIPSE
            for suffix in ("jpg", "png")
        ),
        rename=("usr/share/games/redeclipse/", ""),
    ),
)


def is_permissive(licence: str) -> bool:
    """Public domain, CC0, CC-BY, MIT and BSD kinds: no share-alike, no further conditions."""
    name = re.sub(r"[\s_]+", "-", licence.strip().lower())
    alternatives = name.split("-or-")
    return any(all(map(_is_free, part.split("-and-"))) for part in alternatives)


def _is_free(name: str) -> bool:
    pattern = r"public-domain.*|cc0.*|cc-by-[234][.\d]*|expat.*|mit|bsd-[23]-clause.*|zlib"
    return re.fullmatch(pattern, name) is not None


def originals(source: Source, root: Path) -> Iterator[Original]:
    """Every picture of an unpacked package that its terms allow, in the order of its path."""
    terms_of = _reader(source, root)
    for path, content in _files(source, root):
        name = path.rpartition("!")[2].rpartition("/")[2]
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in source.skip):
            continue
        terms = terms_of(path)
        if terms is None or not is_permissive(terms.licence):
            continue
        if not any(word in terms.words.lower() for word in source.refuse):
            yield Original(path=path, content=content, terms=terms)


def _files(source: Source, root: Path) -> Iterator[tuple[str, bytes]]:
    for pattern in source.globs:
        outer, _, inner = pattern.partition("!")
        for path in sorted(root.glob(outer)):
            name = path.relative_to(root).as_posix()
            if not path.is_file() or path.is_symlink():
                continue
            if not inner:
                yield name, path.read_bytes()
                continue
            for member, content in sorted(_members(path).items()):
                if fnmatch.fnmatchcase(member, inner):
                    yield f"{name}!{member}", content


def _members(path: Path) -> dict[str, bytes]:
    if path.suffix == ".rcc":
        return read_rcc(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        names = [entry for entry in archive.namelist() if entry.lower().endswith(_TEXTURE_TYPES)]
        return {name: archive.read(name) for name in names}


def read_rcc(blob: bytes) -> dict[str, bytes]:
    """Files of a Qt resource file (big-endian tree, names and data), unpacked."""
    magic, version, tree, data, names = struct.unpack_from(">4sIIII", blob)
    if magic != b"qres":
        raise ValueError("not a Qt resource file")
    node_size = 22 if version >= 2 else 14
    found: dict[str, bytes] = {}

    def walk(index: int, folder: str) -> None:
        node = tree + index * node_size
        name_at, flags = struct.unpack_from(">IH", blob, node)
        (length,) = struct.unpack_from(">H", blob, names + name_at)
        start = names + name_at + 6
        own = blob[start : start + 2 * length].decode("utf-16-be") if index else ""
        path = f"{folder}/{own}" if folder else own
        if flags & 2:
            count, first = struct.unpack_from(">II", blob, node + 6)
            for child in range(first, first + count):
                walk(child, path)
        else:
            (at,) = struct.unpack_from(">I", blob, node + 10)
            (size,) = struct.unpack_from(">I", blob, data + at)
            content = blob[data + at + 4 : data + at + 4 + size]
            # Compressed entries start with their unpacked size; type 4 (zstd) is not used here.
            found[path] = zlib.decompress(content[4:]) if flags & 1 else content

    walk(0, "")
    return found


def _reader(source: Source, root: Path) -> Callable[[str], Terms | None]:
    match source.reader:
        case "copyright":
            paper = root / "usr/share/doc" / source.package / "copyright"
            return CopyrightFile(paper.read_text("utf-8"), source.rename).terms
        case "readme":
            return ReadmeTerms(root).terms
        case "desktop":
            return lambda path: _desktop_terms(root / path)
        case "krank":
            terms = Terms(author="Slava Anishenko", licence="public-domain")
            return lambda _: terms


@dataclass
class CopyrightFile:
    """A machine-readable Debian copyright file; the LAST matching paragraph decides."""

    text: str
    rename: tuple[str, str]
    paragraphs: list[tuple[list[str], Terms]] = field(init=False)

    def __post_init__(self) -> None:
        blocks = [_fields(block) for block in re.split(r"\n\s*\n", self.text)]
        self.paragraphs = [_paragraph(block) for block in blocks if "files" in block]

    def terms(self, path: str) -> Terms | None:
        """Terms of an installed path."""
        installed, original = self.rename
        name = original + path.removeprefix(installed)
        hits = [terms for patterns, terms in self.paragraphs if _matches(name, patterns)]
        return hits[-1] if hits else None


def _fields(block: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    key = ""
    for line in block.splitlines():
        if line[:1].isspace() and key:
            fields[key] += "\n" + line.strip()
        elif ":" in line:
            key, _, value = line.partition(":")
            key = key.strip().lower()
            fields[key] = value.strip()
    return fields


def _paragraph(block: dict[str, str]) -> tuple[list[str], Terms]:
    licence, _, words = block.get("license", "").partition("\n")
    author = " ".join(block.get("copyright", "").split())
    words += " " + block.get("comment", "")
    return block["files"].split(), Terms(author=author, licence=licence.strip(), words=words)


def _matches(name: str, patterns: list[str]) -> bool:
    # Brackets are plain characters in these patterns.
    return any(fnmatch.fnmatchcase(name, pattern.replace("[", "[[]")) for pattern in patterns)


class ReadmeTerms:
    """Terms from the README files inside gcompris' resource files (the Debian paper is older)."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._known: dict[str, dict[str, Terms]] = {}

    def terms(self, path: str) -> Terms | None:
        """Terms of ``archive!member``; None where no README names the member."""
        archive, _, member = path.partition("!")
        if archive not in self._known:
            self._known[archive] = self._read(self._root / archive)
        return self._known[archive].get(member)

    def _read(self, archive: Path) -> dict[str, Terms]:
        known: dict[str, Terms] = {}
        for name, content in read_rcc(archive.read_bytes()).items():
            if name.rpartition("/")[2] == "README":
                folder = name.rpartition("/")[0]
                for file, terms in _readme_blocks(content.decode("utf-8")):
                    known[f"{folder}/{file}"] = terms
        return known


def _readme_blocks(text: str) -> Iterator[tuple[str, Terms]]:
    key = ""
    for block in re.split(r"\n\s*\n", text):
        fields: dict[str, list[str]] = {}
        for line in block.splitlines():
            head = re.match(r"(Copyright|Source|License|Comments|Files):\s*(.*)", line)
            if head:
                key, line = head.group(1), head.group(2)
            if line.strip():
                fields.setdefault(key, []).append(line.strip())
        source = " ".join(fields.get("Source", []))
        terms = Terms(
            author="; ".join([*fields.get("Copyright", []), *([source] if source else [])]),
            licence=" ".join(fields.get("License", ["unknown"])),
        )
        for file in fields.get("Files", []):
            yield file, terms


def _desktop_terms(picture: Path) -> Terms | None:
    entry = picture.with_suffix(".desktop")
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.read(entry, encoding="utf-8")
    for section in parser.values():
        if "x-kde-plugininfo-license" in section:
            author = section.get("x-kde-plugininfo-author", "unknown")
            return Terms(author=author, licence=section["x-kde-plugininfo-license"])
    return None
