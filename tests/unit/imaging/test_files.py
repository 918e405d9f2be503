"""Reading and writing pictures: modes, formats, orientation, what each format can hold."""

import io

import numpy as np
import pytest
import pyvips
import tifffile
from PIL import Image

from hfdiff.core.errors import ImageError, SettingsError
from hfdiff.imaging import profiles
from hfdiff.imaging.files import (
    FORMATS,
    check_holds,
    encode_picture,
    format_named,
    read_header,
    read_picture,
    write_picture,
)
from hfdiff.imaging.picture import Metadata, Picture
from support import ROOT

PNGSUITE = ROOT / "tests" / "fixtures" / "pngsuite"
HEIGHT, WIDTH = 13, 17
EXTENSIONS = {kind.suffixes[0] for kind in FORMATS.values()}


def noise(channels=3, height=HEIGHT, width=WIDTH):
    rng = np.random.default_rng(channels)
    return rng.integers(0, 256, (height, width, channels), dtype=np.uint8)


def image(mode):
    """The same noise in one of Pillow's modes."""
    if mode in ("LA", "PA", "RGBA", "RGBa"):
        return Image.fromarray(noise(4)).convert(mode)
    return Image.fromarray(noise()).convert(mode)


def saved(picture, kind, **options):
    stream = io.BytesIO()
    picture.save(stream, format=kind, **options)
    stream.seek(0)
    return stream


LOSSLESS = [
    *(("PNG", mode) for mode in ("1", "L", "LA", "P", "RGB", "RGBA")),
    *(("TIFF", mode) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "RGBX", "PA")),
    *(("BMP", mode) for mode in ("1", "L", "P", "RGB")),
    *(("GIF", mode) for mode in ("1", "P")),
]


@pytest.mark.parametrize(("kind", "mode"), LOSSLESS)
def test_every_lossless_mode_is_read_as_its_plain_expansion(kind, mode):
    original = image(mode)
    transparent = mode in ("LA", "PA", "RGBA")
    grey = mode in ("1", "L", "LA")
    plain = ("LA" if transparent else "L") if grey else ("RGBA" if transparent else "RGB")

    picture = read_picture(saved(original, kind))

    wanted = np.asarray(original.convert(plain)).reshape(HEIGHT, WIDTH, -1)
    assert np.array_equal(picture.samples, wanted)
    assert picture.has_alpha == transparent
    assert picture.format == kind
    assert picture.lossless


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "AVIF"])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_lossy_pictures_are_read_as_pillow_decodes_them(kind, mode):
    stream = saved(image(mode), kind, quality=90)

    picture = read_picture(stream)

    stream.seek(0)
    with Image.open(stream) as decoded:
        wanted = np.asarray(decoded).reshape(HEIGHT, WIDTH, -1)
    assert np.array_equal(picture.samples, wanted)
    assert not picture.lossless


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_becomes_rgb_and_says_so(kind):
    ink = Image.new("CMYK", (WIDTH, HEIGHT), (255, 0, 0, 0))  # cyan

    picture = read_picture(saved(ink, kind, icc_profile=b"a profile of inks"))

    assert picture.notes == ("CMYK converted to RGB",)
    assert picture.metadata.icc is None
    red, green, blue = picture.samples.reshape(-1, 3).mean(0)
    assert red < 30
    assert min(green, blue) > 140


def test_lab_becomes_rgb_and_says_so_in_a_profile():
    from PIL import ImageCms

    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    flat = Image.new("RGB", (WIDTH, HEIGHT), (180, 90, 40))
    converted = ImageCms.profileToProfile(flat, srgb, lab, outputMode="LAB")

    picture = read_picture(saved(converted, "TIFF"))

    assert np.abs(picture.samples.astype(int) - (180, 90, 40)).max() <= 3
    assert picture.metadata.icc == profiles.srgb()


@pytest.mark.parametrize("path", sorted(PNGSUITE.glob("[bt]*.png")), ids=lambda path: path.stem)
def test_pngsuite_is_read_as_another_decoder_reads_it(path):
    """Interlaced, palettes, 1 to 16 bits, transparent colours; libvips is the other decoder."""
    wanted = pyvips.Image.new_from_file(str(path)).numpy().reshape(32, 32, -1)

    picture = read_picture(path)

    assert picture.samples.dtype == wanted.dtype
    assert np.array_equal(picture.samples, wanted)
    assert read_header(path).has_alpha == picture.has_alpha
    assert read_header(path).is_deep == (wanted.dtype == np.uint16)


@pytest.mark.parametrize("path", sorted(PNGSUITE.glob("x*.png")), ids=lambda path: path.stem)
def test_broken_files_of_pngsuite_are_refused(path):
    with pytest.raises(ImageError, match=r"not a picture in a format|is broken"):
        read_picture(path)


def deep_tiff(samples, **options):
    stream = io.BytesIO()
    tifffile.imwrite(stream, samples, **options)
    stream.seek(0)
    return stream


DEEP = np.random.default_rng(1).integers(0, 65_536, (8, 9, 3), dtype=np.uint16)


@pytest.mark.parametrize(
    ("stream", "wanted"),
    [
        (lambda: saved(Image.fromarray(DEEP[..., 0]), "PNG"), DEEP[..., :1]),
        (lambda: saved(Image.fromarray(DEEP[..., 0]), "TIFF"), DEEP[..., :1]),
        (lambda: deep_tiff(DEEP, photometric="rgb"), DEEP),
        (lambda: deep_tiff(DEEP, photometric="rgb", byteorder=">"), DEEP),
    ],
    ids=["grey PNG", "grey TIFF", "RGB TIFF", "big-endian RGB TIFF"],
)
def test_16_bits_are_read_whole(stream, wanted):
    """Pillow would open 16-bit colour as 8 bit without a word."""
    picture = read_picture(stream())

    assert picture.samples.dtype == np.uint16
    assert np.array_equal(picture.samples, wanted)


def test_float_samples_are_refused():
    stream = saved(Image.fromarray(np.full((5, 6), 0.5, np.float32)), "TIFF")

    with pytest.raises(ImageError, match="1 samples a pixel of the kind float b-w are not read"):
        read_picture(stream)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_16_bits_are_written_whole_with_their_metadata(kind, channels):
    from PIL import ImageCms

    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    samples = np.resize(DEEP, (12, 10, channels)).astype(np.uint16)
    profile = icc if channels >= 3 else None  # a profile of colours does not fit grey samples
    picture = Picture(samples=samples, metadata=Metadata(icc=profile, dpi=(300.0, 300.0)))

    again = read_picture(io.BytesIO(encode_picture(picture, kind)))

    if (kind, channels) == ("TIFF", 2):
        samples = samples[:, :, [0, 0, 0, 1]]  # few programs read grey with alpha there
    assert np.array_equal(again.samples, samples)
    assert again.metadata.icc == profile
    assert again.metadata.dpi is not None
    assert round(again.metadata.dpi[0]) == 300


def test_a_dark_16_bit_picture_is_not_taken_for_8_bit():
    """users 6.5.5: the range follows the file's type, never its values."""
    dark = (DEEP % 200).astype(np.uint16)

    picture = read_picture(io.BytesIO(encode_picture(Picture(samples=dark), "PNG")))

    assert picture.samples.dtype == np.uint16
    assert np.array_equal(picture.samples, dark)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_sizes_in_exif_become_those_of_the_output(kind):
    exif = Image.Exif()
    exif[0x0132] = "2024:07:01 12:00:00"
    exif.get_ifd(0x8769)[0xA002] = 9
    exif.get_ifd(0x8769)[0xA003] = 8
    picture = Picture(samples=noise(), metadata=Metadata(exif=exif.tobytes()))

    with Image.open(io.BytesIO(encode_picture(picture, kind))) as written:
        block = written.getexif().get_ifd(0x8769)

    assert (block[0xA002], block[0xA003]) == (picture.width, picture.height)


def test_16_bits_are_rounded_for_formats_of_8():
    levels = np.arange(65_536, dtype=np.uint16).reshape(256, 256, 1).repeat(3, 2)

    written = read_picture(io.BytesIO(encode_picture(Picture(samples=levels), "WEBP")))

    wanted = np.floor(levels / 257 + 0.5)
    assert np.array_equal(written.samples, wanted.astype(np.uint8))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bit_pictures_come_out_upright(kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    if kind == "PNG":
        stream = saved(Image.fromarray(DEEP[..., 0]), "PNG", exif=exif)
        wanted = DEEP[..., :1]
    else:
        stream = deep_tiff(DEEP, photometric="rgb", extratags=[(274, 3, 1, orientation, True)])
        wanted = DEEP

    picture = read_picture(stream)
    header = read_header(stream)

    assert np.array_equal(picture.samples, ORIENTED[orientation](wanted))
    assert (header.width, header.height) == (picture.width, picture.height)


ORIENTED = {  # how the stored samples must be turned to be upright, by the EXIF standard
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: a.swapaxes(0, 1)[:, ::-1],
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: a.swapaxes(0, 1)[::-1],
}


def _oriented(kind, orientation):
    """A file whose upright picture is always the same; its samples, and what stays of them."""
    upright = noise()
    inverse = {6: 8, 8: 6}.get(orientation, orientation)
    stored = np.ascontiguousarray(ORIENTED[inverse](upright))
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if kind == "WEBP" else {}
    return saved(Image.fromarray(stored), kind, exif=exif, **options), upright


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_pictures_are_turned_upright(kind, orientation):
    stream, upright = _oriented(kind, orientation)

    picture = read_picture(stream)

    assert np.array_equal(picture.samples, upright)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP", "JPEG", "AVIF"])
def test_the_header_speaks_of_the_upright_picture(kind, orientation):
    header = read_header(_oriented(kind, orientation)[0])

    assert (header.width, header.height) == (WIDTH, HEIGHT)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_upright_jpegs_are_equal_but_for_compression(orientation):
    """users 6.1.1, on smooth colours."""
    y, x = np.mgrid[:32, :48]
    upright = np.stack([y * 4, x * 3, 255 - x * 2 - y], axis=2).astype(np.uint8)
    inverse = {6: 8, 8: 6}.get(orientation, orientation)
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(ORIENTED[inverse](upright)))

    picture = read_picture(saved(stored, "JPEG", quality=95, subsampling=0, exif=exif))

    assert picture.samples.shape == upright.shape
    assert np.abs(picture.samples.astype(int) - upright).max() <= 6


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF", "AVIF"])
def test_of_several_frames_the_first_is_taken_and_it_is_said(kind):
    first, second = Image.new("RGB", (9, 7), (200, 10, 10)), Image.new("RGB", (9, 7), (10, 10, 200))

    picture = read_picture(saved(first, kind, save_all=True, append_images=[second]))

    assert picture.notes[0] == "first of 2 frames or pages"
    assert picture.samples.shape[:2] == (7, 9)
    assert picture.samples[3, 4, 0] > 190
    assert picture.samples[3, 4, 2] < 20


def test_a_multi_picture_jpeg_is_a_jpeg_that_loses_its_further_pictures_and_it_is_said():
    two = saved(image("RGB"), "MPO", save_all=True, append_images=[image("L")])

    picture = read_picture(two)

    assert picture.format == "JPEG"
    assert picture.notes == ("left out: further pictures",)
    assert Image.open(io.BytesIO(encode_picture(picture, "JPEG"))).format == "JPEG"


def test_the_content_decides_not_the_name(tmp_path):
    path = tmp_path / "really.jpg"
    path.write_bytes(saved(image("RGB"), "PNG").getvalue())

    assert read_header(path).format == "PNG"
    assert np.array_equal(read_picture(path).samples, noise())


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_lossless_formats_give_back_every_sample(kind, channels, tmp_path):
    picture = Picture(samples=noise(channels))

    write_picture(picture, tmp_path / "new" / "a.bin", kind)

    back = read_picture(tmp_path / "new" / "a.bin")
    assert np.array_equal(back.samples, picture.samples)
    assert back.format == kind


@pytest.mark.parametrize("channels", [3, 4])
def test_webp_is_lossless_for_lossless_sources_and_lossy_for_others(channels):
    samples = noise(channels)
    samples[..., 3:] |= 1  # WebP may forget colours that nobody sees

    exact = encode_picture(Picture(samples=samples), "WEBP")
    lossy = encode_picture(Picture(samples=samples, lossless=False), "WEBP")
    asked = encode_picture(Picture(samples=samples), "WEBP", quality=80)

    assert np.array_equal(read_picture(io.BytesIO(exact)).samples, samples)
    assert not np.array_equal(read_picture(io.BytesIO(lossy)).samples, samples)
    assert len(asked) < len(exact)


def test_jpeg_is_written_at_quality_95_with_whole_colour():
    """The quantisation table of quality 95 and no subsampling (4:4:4)."""
    content = encode_picture(Picture(samples=noise()), "JPEG")

    with Image.open(io.BytesIO(content)) as written:
        assert [layer[1:3] for layer in written.layer] == [(1, 1)] * 3
        table = written.quantization
    with Image.open(saved(image("RGB"), "JPEG", quality=95)) as wanted:
        assert table == wanted.quantization


def test_a_lower_quality_makes_a_smaller_file():
    picture = Picture(samples=noise(3, 64, 64), lossless=False)

    for kind in ("JPEG", "WEBP", "AVIF"):
        assert len(encode_picture(picture, kind, quality=60)) < len(encode_picture(picture, kind))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "AVIF"])
def test_the_same_picture_gives_the_same_bytes(kind):
    picture = Picture(samples=noise())

    assert encode_picture(picture, kind) == encode_picture(picture, kind)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "AVIF"])
def test_grey_is_written_with_one_channel(kind):
    content = encode_picture(Picture(samples=noise(1)), kind)

    assert read_picture(io.BytesIO(content)).channels == 1


def test_grey_becomes_colour_where_the_format_knows_no_grey():
    picture = read_picture(io.BytesIO(encode_picture(Picture(samples=noise(1)), "WEBP")))

    assert np.array_equal(picture.samples, np.repeat(noise(1), 3, 2))


def test_jpeg_refuses_alpha():
    with pytest.raises(ImageError, match="JPEG cannot hold the picture's transparency"):
        encode_picture(Picture(samples=noise(4)), "JPEG")


@pytest.mark.parametrize(("kind", "limit"), [("WEBP", 16_383), ("JPEG", 65_500), ("AVIF", 32_768)])
def test_sizes_beyond_a_format_are_refused_with_a_way_out(kind, limit):
    check_holds(kind, limit, limit)

    with pytest.raises(ImageError, match=f"{kind} holds at most {limit} pixels a side") as caught:
        check_holds(kind, 10, limit + 1)

    assert caught.value.hint == "use --format png or tiff"


def test_png_and_tiff_hold_any_size():
    for kind in ("PNG", "TIFF"):
        check_holds(kind, 10**6, 10**6)


@pytest.mark.parametrize("kind", ["WEBP", "JPEG", "AVIF"])
def test_a_picture_of_the_stated_limit_is_written_and_read_again(kind):
    limit = FORMATS[kind].side_limit
    line = Picture(samples=np.zeros((1, limit, 3), np.uint8), lossless=False)

    header = read_header(io.BytesIO(encode_picture(line, kind)))

    assert (header.width, header.height) == (limit, 1)


@pytest.mark.parametrize("kind", ["WEBP", "JPEG", "AVIF"])
def test_one_pixel_more_cannot_be_written_or_read(kind):
    line = Image.new("RGB", (FORMATS[kind].side_limit + 1, 1))

    with pytest.raises((OSError, ValueError)):
        Image.open(saved(line, kind)).close()


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("png", "PNG"),
        (".PNG", "PNG"),
        ("jpg", "JPEG"),
        ("jpeg", "JPEG"),
        (".jpe", "JPEG"),
        ("webp", "WEBP"),
        ("tif", "TIFF"),
        ("TIFF", "TIFF"),
        ("avif", "AVIF"),
    ],
)
def test_formats_are_named_as_people_name_them(name, kind):
    assert format_named(name) == kind


@pytest.mark.parametrize("name", ["bmp", "gif", "doc", "", "."])
def test_a_format_that_is_not_written_is_refused_with_those_that_are(name):
    with pytest.raises(SettingsError, match="format must be one of auto, png, jpg, webp, tif"):
        format_named(name)


def test_an_unwritable_place_is_a_sentence(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(ImageError, match=r"cannot write .*: File exists"):
        write_picture(Picture(samples=noise()), tmp_path / "file" / "a.png", "PNG")


def test_an_interrupted_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    path.write_bytes(b"old")

    def interrupt(self, target):
        raise KeyboardInterrupt

    monkeypatch.setattr(type(path), "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_picture(Picture(samples=noise()), path, "PNG")

    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
