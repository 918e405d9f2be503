"""Texts beside the samples: the text chunks of PNG, the comment of JPEG and GIF."""

import zlib

from PIL import Image

COMMENT = "Comment"
_LIMIT = 1_000_000  # letters in all: what people and programs write is far shorter
_LONG = 1_000  # letters from which a text is worth packing
_JPEG_LIMIT = 65_533
_KEYWORD_LIMIT = 79
# Blocks that are carried over as what they are, and statements about the pixels of the source.
_NO_TEXTS = ("XML:", "Raw profile type", "exif:", "Thumb::")


def texts_of(image: Image.Image) -> tuple[tuple[tuple[str, str], ...], list[str]]:
    """Keyword and text of what a file says in words; and what was left out."""
    found: list[tuple[str, str]] = []
    comment = image.info.get("comment")
    if isinstance(comment, bytes):
        comment = _decoded(comment.rstrip(b"\0"))
    if isinstance(comment, str) and comment:
        found.append((COMMENT, comment))
    if image.format == "PNG":
        texts = ((str(key), text) for key, text in image.info.items())
        found += [(key, str(text)) for key, text in texts if _is_text(key, text)]
    if sum(len(text) for _, text in found) > _LIMIT:
        return (), ["texts of more than a million letters"]
    return tuple(found), []


def comment_of(texts: tuple[tuple[str, str], ...]) -> bytes | None:
    """What JPEG can hold of texts."""
    content = dict(texts).get(COMMENT, "").encode()
    return content if 0 < len(content) <= _JPEG_LIMIT else None


def chunk_of(keyword: str, text: str) -> tuple[bytes, bytes]:
    """Name and content of the chunk of PNG that holds a text."""
    head = keyword.encode("latin-1") + b"\0"
    try:
        content = text.encode("latin-1")
    except UnicodeEncodeError:
        return b"iTXt", head + b"\0\0\0\0" + text.encode(errors="replace")
    if len(content) > _LONG:
        return b"zTXt", head + b"\0" + zlib.compress(content)
    return b"tEXt", head + content


def _is_text(key: str, text: object) -> bool:
    """Whether an entry of Pillow's is a text chunk that an output can have too."""
    if not isinstance(text, str) or key == "comment":
        return False
    sound = 0 < len(key.encode("latin-1", "ignore")) == len(key) <= _KEYWORD_LIMIT
    return sound and "\0" not in key + text and not key.startswith(_NO_TEXTS)


def _decoded(content: bytes) -> str:
    """A comment, whose encoding no format states."""
    try:
        return content.decode()
    except UnicodeDecodeError:
        return content.decode("latin-1")
