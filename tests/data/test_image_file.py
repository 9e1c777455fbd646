"""Images of every format, mode and orientation as squares of RGB."""

import struct
import time
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image, ImageOps, TiffImagePlugin, features

import mnas
from mnas.data import image_file
from mnas.data.dataset import load_dataset
from mnas.data.image_file import decode_image, to_rgb
from mnas.errors import InputError

PIXELS = np.random.default_rng(0).integers(0, 256, (30, 50, 3), dtype=np.uint8)


def _exif(orientation, *, malformed=False):
    """EXIF with an orientation and perhaps a tag whose type does not fit its value, as some cameras write it."""
    entries = [struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0)]
    if malformed:
        entries.append(struct.pack("<HHII", 0x0132, 7, 1000, 0xFFFFFF))  # the date lies behind the end
        entries.append(struct.pack("<HHI4s", 0x011A, 2, 4, b"abc\0"))  # the resolution is text
    directory = struct.pack("<H", len(entries)) + b"".join(entries) + struct.pack("<I", 0)
    return b"Exif\0\0II*\0\x08\0\0\0" + directory


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
def test_an_image_is_turned_by_its_orientation_whatever_else_its_metadata_say(tmp_path, orientation, suffix):
    path = tmp_path / f"x.{suffix}"
    if suffix == "tif":
        tags = TiffImagePlugin.ImageFileDirectory_v2()
        tags[0x0112] = orientation
        Image.fromarray(PIXELS).save(path, tiffinfo=tags)
    else:
        Image.fromarray(PIXELS).save(path, exif=_exif(orientation))
    with Image.open(path) as file:
        expected = ImageOps.exif_transpose(file).convert("RGB")
    with Image.open(path) as file:
        assert (np.asarray(to_rgb(file)) == np.asarray(expected)).all()
    assert expected.size == ((30, 50) if orientation > 4 else (50, 30))
    if suffix != "tif":
        Image.fromarray(PIXELS).save(path, exif=_exif(orientation, malformed=True))
        with Image.open(path) as file:
            assert (np.asarray(to_rgb(file)) == np.asarray(expected)).all()
    for number, label in enumerate(("cats", "dogs")):
        (tmp_path / "photos" / label).mkdir(parents=True)
        for copy in range(2):
            (tmp_path / "photos" / label / f"{number}{copy}.{suffix}").write_bytes(path.read_bytes())
    assert mnas.inspect_folder(tmp_path / "photos").sizes["median"] == expected.size


def test_what_is_no_orientation_turns_nothing(tmp_path):
    Image.fromarray(PIXELS).save(tmp_path / "x.png", exif=_exif(77))
    with Image.open(tmp_path / "x.png") as file:
        assert to_rgb(file).size == (50, 30)


def test_a_portable_pixmap_is_read(tmp_path):
    Image.fromarray(PIXELS).save(tmp_path / "x.ppm")
    assert decode_image(tmp_path / "x.ppm", 8).shape == (8, 8, 3)


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow reads no AVIF")
def test_avif_is_read(tmp_path):
    Image.fromarray(PIXELS).save(tmp_path / "x.avif")
    assert decode_image(tmp_path / "x.avif", 8).shape == (8, 8, 3)


@pytest.fixture
def small_limits(monkeypatch):
    monkeypatch.setattr(image_file, "MOST_PLAIN_PIXELS", 1000)
    monkeypatch.setattr(image_file, "MOST_PIXELS", 100_000)


def test_a_very_large_photograph_is_decoded_at_a_smaller_size(tmp_path, small_limits):
    smooth = Image.fromarray(PIXELS).resize((400, 240), Image.Resampling.BICUBIC)
    smooth.save(tmp_path / "x.jpg", quality=95)
    found = decode_image(tmp_path / "x.jpg", 16).astype(int)
    expected = np.asarray(ImageOps.fit(smooth, (16, 16), Image.Resampling.LANCZOS)).astype(int)
    assert np.abs(found - expected).mean() < 5


@pytest.mark.parametrize(("name", "size"), [("x.png", (50, 30)), ("x.jpg", (400, 300)), ("y.png", (500, 500))])
def test_what_is_too_large_is_called_so(tmp_path, small_limits, name, size):
    Image.fromarray(PIXELS).resize(size).save(tmp_path / name)
    most = Image.MAX_IMAGE_PIXELS
    with pytest.raises(InputError, match=r"too large: expected at most .* megapixels, or .* in a JPEG file"):
        decode_image(tmp_path / name, 8)
    assert most == Image.MAX_IMAGE_PIXELS


def test_threads_that_decode_at_once_leave_pillow_as_it_was(tmp_path, small_limits):
    for number in range(40):
        size = (400, 300) if number % 4 == 0 else (20, 20)
        Image.fromarray(PIXELS).resize(size).save(tmp_path / f"{number}.jpg")

    def decode(number):
        try:
            return decode_image(tmp_path / f"{number}.jpg", 8).shape
        except InputError as error:
            return "too large" in str(error)

    before = (Image.MAX_IMAGE_PIXELS, Image.core.get_block_size(), list(warnings.filters))
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(decode, range(40)))
    assert found == [True if number % 4 == 0 else (8, 8, 3) for number in range(40)]
    assert before == (Image.MAX_IMAGE_PIXELS, Image.core.get_block_size(), warnings.filters)


@pytest.mark.parametrize(
    ("size", "options", "most"),
    [
        ((30, 20), {}, 1),  # of 1,000 pixels one such image takes more than half
        ((20, 10), {}, 5),
        ((300, 200), {}, 1),  # decoded at an eighth of its side
        ((300, 200), {"progressive": True}, 1),
    ],
)
def test_threads_decode_no_more_pixels_at_once_than_one_image_may_have(
    tmp_path, small_limits, monkeypatch, size, options, most
):
    Image.fromarray(PIXELS).resize(size).save(tmp_path / "x.jpg", **options)
    now, peak, decode = [], [], image_file.to_rgb

    def watched(file):
        now.append(file)
        peak.append(len(now))
        time.sleep(0.01)
        image = decode(file)
        now.pop()
        return image

    monkeypatch.setattr(image_file, "to_rgb", watched)
    with ThreadPoolExecutor(8) as pool:
        shapes = list(pool.map(lambda _: decode_image(tmp_path / "x.jpg", 4).shape, range(16)))
    assert shapes == [(4, 4, 3)] * 16
    assert max(peak) <= most


def test_the_pixels_of_an_image_are_gone_when_another_thread_may_go_on(tmp_path):
    Image.fromarray(PIXELS).save(tmp_path / "x.png")
    with Image.open(tmp_path / "x.png") as file:
        with image_file.room_for(file, file.size):
            file.load()
        with pytest.raises(ValueError, match="closed image"):
            file.getpixel((0, 0))


def _thermal(root, top):
    rng = np.random.default_rng(0)
    for label in ("cold", "warm"):
        (root / label).mkdir(parents=True)
        for number in range(4):
            values = rng.integers(0, top, (9, 9), dtype=np.uint16)
            Image.fromarray(values).save(root / label / f"{number}.png")
    return root


def test_16_bit_images_that_keep_few_grey_levels_are_warned_of(tmp_path, caplog):
    flat, deep = _thermal(tmp_path / "flat", 4096), _thermal(tmp_path / "deep", 65536)
    for root in (flat, deep):
        load_dataset(str(root), resolution=8)
    assert "flat: the 8 images of more than 8 bits come to 1" in caplog.text
    assert caplog.text.count("more than 8 bits") == 1
    assert "of 256 grey levels" in mnas.inspect_folder(flat).warnings[0]
    assert not any("grey levels" in warning for warning in mnas.inspect_folder(deep).warnings)


def _floats(root, **values):
    """Images of floats, from the lowest to the highest value of each."""
    for label, levels in values.items():
        (root / label).mkdir(parents=True)
        for number, (low, high) in enumerate(levels):
            pixels = np.linspace(low, high, 81, dtype=np.float32).reshape(9, 9)
            Image.fromarray(pixels).save(root / label / f"{number}.tif")
    return root


def test_deep_images_that_are_not_mapped_alike_are_warned_of(tmp_path, caplog):
    degrees = _floats(tmp_path / "degrees", cold=[(-30, -20)] * 3, warm=[(-10, 5), (-8, 9), (0, 90)])
    dark = _floats(tmp_path / "dark", day=[(0, 60000)] * 3, night=[(0, 200), (0, 300), (9, 400)])
    equal = _floats(tmp_path / "equal", day=[(0, 60000)] * 3, night=[(0, 20000)] * 3)
    for root in (degrees, dark, equal):
        load_dataset(str(root), resolution=8)
    found = [line for line in caplog.messages if "different ranges" in line]
    assert "(0 to 255 in 1, from their own lowest to their own highest in 5)" in found[0]
    assert "(0 to 255 in 1, 0 to 65535 in 5)" in found[1]
    assert len(found) == 2
    assert found[0].endswith(mnas.inspect_folder(degrees).warnings[0])
    assert not any("ranges" in warning for warning in mnas.inspect_folder(equal).warnings)


def test_a_photograph_of_a_format_that_is_not_read_is_called_so(tmp_path):
    heic = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100)  # as phones write it; people change the ending
    for label in ("cat", "dog"):
        (tmp_path / label).mkdir()
        Image.fromarray(PIXELS).save(tmp_path / label / "0.png")
    (tmp_path / "cat" / "1.jpg").write_bytes(heic)
    expected = "it is damaged from the start, or in another format than PNG, JPEG, "
    with pytest.raises(InputError, match=expected):
        decode_image(tmp_path / "cat" / "1.jpg", 8)
    assert mnas.inspect_folder(tmp_path).unreadable["cat/1.jpg"].startswith(expected)
