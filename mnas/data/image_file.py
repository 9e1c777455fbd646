"""Images in files, of any size, mode and orientation, as the RGB squares that networks see."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from threading import Condition
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mnas.errors import InputError

if TYPE_CHECKING:
    from PIL import Image

MOST_PIXELS = 1 << 28  # of a JPEG file, which can be decoded at a smaller size
MOST_PLAIN_PIXELS = (1 << 30) // 12  # of other files, Pillow's own limit: 1 GiB as 32-bit RGB
FEW_LEVELS = 64
_MOST_VALUE = 65535.0  # of 16 bits
# Bytes that Pillow gets at a time, 16 MiB by itself. What is larger than 32 MiB goes back to the system when an image
# is done; smaller pieces glibc keeps for the thread, so that threads together keep a multiple of a large image.
_BLOCK = 64 << 20
_ORIENTATION = 0x0112
_SIDEWAYS = range(5, 9)  # orientations that turn an image on its side

Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Greys:
    """What the values of an image of more than 8 bits became.

    Attributes:
        span: the values that become the levels 0 and 255.
        levels: the darkest and the lightest of the 256 levels that the image has.
    """

    span: tuple[float, float]
    levels: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded image.

    Attributes:
        pixels: uint8 of shape (resolution, resolution, 3).
        greys: of an image of more than 8 bits; else None.
    """

    pixels: Bytes
    greys: Greys | None


def decode_image(path: Path, resolution: int) -> Bytes:
    """Read an image as an RGB square: rotated by its EXIF, transparency on white, the centre square, antialiased.

    Returns:
        uint8 of shape (resolution, resolution, 3).

    Raises:
        InputError: for a file that is not an image, is damaged, or has too many pixels.
    """
    return decode_picture(path, resolution).pixels


def decode_picture(path: Path, resolution: int) -> Picture:
    """As `decode_image`, with what the values of an image of more than 8 bits became."""
    from PIL import Image

    try:
        with refuse_bombs(), Image.open(path, formats=formats()) as file:
            size = file.size
            shrink_or_refuse(file, 2 * resolution)
            with room_for(file, size):
                return _square(file, resolution)
    except Exception as error:  # Pillow raises many kinds of errors for damaged files
        raise InputError(f"{path}: not a readable image ({describe_failure(error)})") from None


def _square(file: Image.Image, resolution: int) -> Picture:
    from PIL import Image, ImageOps

    image = to_rgb(file)
    square = ImageOps.fit(image, (resolution, resolution), Image.Resampling.LANCZOS)
    return Picture(np.asarray(square), find_greys(file, image))


def find_greys(file: Image.Image, image: Image.Image) -> Greys | None:
    """Return what the values of an image of more than 8 bits became.

    Args:
        file: the image, after its pixels were read.
        image: of the file, from `to_rgb`.
    """
    if not _is_deep(file):
        return None
    return Greys(_span(_numbers(file)), image.getextrema()[0])  # type: ignore[arg-type]


@cache
def formats() -> tuple[str, ...]:
    """Return the formats to read. Pillow recognises them by content, and some start other programs (EPS): not these."""
    from PIL import features

    return ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM", *(["AVIF"] if features.check("avif") else []))


class _Shared:
    """What the threads that decode images share.

    Attributes:
        changed: notified when any of the others changes, and held while it does.
        users: number of threads in `refuse_bombs`.
        pixels: of the images that are being decoded.
        settings: undoes what `refuse_bombs` set.
    """

    def __init__(self) -> None:
        self.changed = Condition()
        self.users = self.pixels = 0
        self.settings = ExitStack()


_shared = _Shared()


@contextmanager
def refuse_bombs() -> Iterator[None]:
    """Make Pillow refuse images of so many pixels that they are likely meant to fill the memory.

    Pillow's limit and Python's filters of warnings belong to the process: the first thread sets them, and the last one
    sets them back.
    """
    with _shared.changed:
        if not _shared.users:
            _shared.settings.enter_context(_limits())
        _shared.users += 1
    try:
        yield
    finally:
        with _shared.changed:
            _shared.users -= 1
            if not _shared.users:
                _shared.settings.close()


@contextmanager
def _limits() -> Iterator[None]:
    from PIL import Image

    memory = Image.core  # type: ignore[attr-defined]  # "Block Allocator" in Pillow's reference
    most, block = Image.MAX_IMAGE_PIXELS, memory.get_block_size()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # on damaged metadata
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        Image.MAX_IMAGE_PIXELS = MOST_PIXELS
        memory.set_block_size(_BLOCK)
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = most
            memory.set_block_size(block)


@contextmanager
def room_for(file: Image.Image, size: tuple[int, int]) -> Iterator[None]:
    """Wait until the images that other threads decode leave room: together they have at most `MOST_PLAIN_PIXELS`.

    An image of more is decoded alone. The file is closed at the end, so that its pixels take no memory when another
    thread goes on; those of images made from it must not be kept either.

    Args:
        file: the image, before its pixels are read.
        size: width and height before `shrink_or_refuse`: a progressive JPEG file needs memory for all its pixels.
    """
    width, height = size if file.info.get("progressive") else file.size
    pixels = width * height
    with _shared.changed:
        _shared.changed.wait_for(lambda: not _shared.pixels or _shared.pixels + pixels <= MOST_PLAIN_PIXELS)
        _shared.pixels += pixels
    try:
        yield
    finally:
        file.close()
        with _shared.changed:
            _shared.pixels -= pixels
            _shared.changed.notify_all()


def shrink_or_refuse(file: Image.Image, size: int) -> None:
    """Let a very large JPEG file be decoded at a smaller size, at least `size` px; call it before the pixels are read.

    Raises:
        InputError: for another file of so many pixels.
    """
    if file.width * file.height <= MOST_PLAIN_PIXELS:
        return
    if file.format not in ("JPEG", "MPO"):
        raise InputError(_too_large(f"{file.width}x{file.height}"))
    file.draft(file.mode, (size, size))


def describe_failure(error: Exception) -> str:
    """Say in a few words why an image cannot be read."""
    from PIL import Image, UnidentifiedImageError

    if isinstance(error, Image.DecompressionBombWarning | Image.DecompressionBombError):
        return _too_large("it")
    if isinstance(error, UnidentifiedImageError):  # whose text has an address in memory, or the path once more
        return f"it is damaged from the start, or in another format than {', '.join(formats())}"
    return str(error) or type(error).__name__


def _too_large(what: str) -> str:
    plain, most = (round(count / 1e6) for count in (MOST_PLAIN_PIXELS, MOST_PIXELS))
    return f"{what} is too large: expected at most {plain} megapixels, or {most} in a JPEG file"


def upright_size(file: Image.Image) -> tuple[int, int]:
    """Return width and height in pixels, as the image is seen; call it before the pixels are read."""
    turned = _orientation(file) in _SIDEWAYS and file.format != "TIFF"  # Pillow turns the latter itself
    return (file.height, file.width) if turned else file.size


def to_rgb(file: Image.Image) -> Image.Image:
    """Return an image as the networks see it: rotated by its EXIF, transparency on white, 16 bits stretched to 8."""
    from PIL import Image

    image = _upright(file)
    if _is_deep(image):  # stretch to bytes, do not clip
        image = Image.fromarray(_stretch(_numbers(image)))
    if image.mode in ("LA", "PA", "RGBA", "RGBa", "La") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    return image.convert("RGB")


def _upright(file: Image.Image) -> Image.Image:
    """Rotate by the orientation alone: Pillow's `exif_transpose` fails at any other tag that it cannot write again."""
    from PIL.Image import Transpose

    methods = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    file.load()  # TIFF files lose their orientation here, as Pillow rotates them
    method = methods.get(_orientation(file))
    return file if method is None else file.transpose(method)


def _orientation(file: Image.Image) -> int:
    """Return the EXIF orientation; 1 (upright) where the metadata cannot be read."""
    try:
        found = file.getexif().get(_ORIENTATION, 1)
        return int(found) if found in range(1, 9) else 1
    except Exception:  # Pillow raises many kinds of errors for damaged metadata
        return 1


def _is_deep(image: Image.Image) -> bool:
    """Whether it has 16-bit or 32-bit integers, or floats; Pillow has them in grey images alone."""
    return image.mode.startswith(("I", "F"))


def _numbers(image: Image.Image) -> npt.NDArray[np.float64]:
    return np.nan_to_num(np.asarray(image).astype(np.float64), copy=False)


def _span(numbers: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Return the values that become 0 and 255: the same for all images of usual values, else those of the image."""
    low, high = float(numbers.min()), float(numbers.max())
    if low < 0 or high > _MOST_VALUE:
        return min(low, 0.0), high
    return 0.0, 255.0 if high <= 255 else _MOST_VALUE


def _stretch(numbers: npt.NDArray[np.float64]) -> Bytes:
    bottom, top = _span(numbers)
    if top == 255 and bottom == 0:
        return numbers.astype(np.uint8)
    return np.round((numbers - bottom) * (255 / max(top - bottom, 1e-9))).astype(np.uint8)


def describe_greys(images: list[Greys]) -> str | None:
    """Say what is lost in images of more than 8 bits; None if nothing is, or there are none."""
    if not images:
        return None
    what = f"the {len(images)} images of more than 8 bits"
    spans = Counter(image.span for image in images)
    if len(spans) > 1:
        usual = {span: spans.pop(span) for span in ((0.0, 255.0), (0.0, _MOST_VALUE)) if span in spans}
        kinds = [f"0 to {top:.0f} in {count}" for (_, top), count in usual.items()]
        kinds += [f"from their own lowest to their own highest in {spans.total()}"] if spans else []
        return (
            f"{what} have values of different ranges, which are mapped to 0 to 255 image by image "
            f"({', '.join(kinds)}), so that equal values become different grey levels: make them 8-bit images, all by "
            "the same factor"
        )
    low, high = min(image.levels[0] for image in images), max(image.levels[1] for image in images)
    if high - low >= FEW_LEVELS - 1:
        return None
    return (
        f"{what} come to {high - low + 1} of 256 grey levels, as their values fill a small part of 0 to 65535, which "
        "is mapped to 0 to 255: stretch them, all by the same factor"
    )
