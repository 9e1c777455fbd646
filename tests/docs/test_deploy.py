"""The documented Python prepares images as training does, and reads files with integers at their ends."""

import re
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mnas.data.image_file import decode_image
from mnas.export.pipeline import export_model
from mnas.predict import predict_images
from tests.conftest import TINY

PAGE = Path(__file__).parents[2] / "docs" / "deploy.md"
(SNIPPET,) = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.S | re.M)
FUNCTIONS = SNIPPET[: SNIPPET.index("interpreter = ")]
ORIENTATION = 0x112


@pytest.fixture(autouse=True)
def pillow_as_it_was(monkeypatch):
    """The page raises Pillow's limit for the whole process."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)


def _noise(*shape):
    """Smooth noise, so that it survives JPEG."""
    coarse = np.random.default_rng(0).integers(0, 256, (6, 8, *shape), dtype=np.uint8)
    return coarse.repeat(9, axis=0).repeat(9, axis=1)


def _turned(orientation):
    def make(path):
        image, exif = Image.fromarray(_noise(3)), Image.Exif()
        exif[ORIENTATION] = orientation
        image.save(path.with_suffix(".jpg"), exif=exif)
        return path.with_suffix(".jpg")

    return make


def _of_mode(mode, suffix, **options):
    def make(path):
        Image.fromarray(_noise(4), "RGBA").convert(mode).save(path.with_suffix(suffix), **options)
        return path.with_suffix(suffix)

    return make


def _deep(most, suffix=".png"):
    def make(path):
        Image.fromarray((_noise().astype(np.float64) * (most / 255)).astype(np.uint16)).save(path.with_suffix(suffix))
        return path.with_suffix(suffix)

    return make


def _oddly_tagged(path):
    """A photograph to turn, with a tag that Pillow cannot write again."""
    entries = struct.pack("<HHIHH", ORIENTATION, 3, 1, 6, 0) + struct.pack("<HHI4s", 0x128, 7, 4, b"abcd")
    exif = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", 2) + entries + bytes(4)
    Image.fromarray(_noise(3)).save(path.with_suffix(".jpg"), exif=exif)
    return path.with_suffix(".jpg")


IMAGES = {
    **{f"turned-{number}": _turned(number) for number in range(1, 9)},
    "transparent": _of_mode("RGBA", ".png"),
    "grey": _of_mode("L", ".png"),
    "grey-transparent": _of_mode("LA", ".png"),
    "palette": _of_mode("P", ".gif"),
    "palette-transparent": _of_mode("P", ".png", transparency=3),
    "colour-transparent": _of_mode("RGB", ".png", transparency=(0, 0, 0)),
    "print": _of_mode("CMYK", ".jpg"),
    "bits": _of_mode("1", ".png"),
    "webp": _of_mode("RGBA", ".webp", lossless=True),
    "16-bits": _deep(65535),
    "12-of-16-bits": _deep(4095),
    "8-of-16-bits": _deep(255),
    "16-bits-tiff": _deep(65535, ".tif"),
    "oddly-tagged": _oddly_tagged,
}


@pytest.mark.parametrize("size", [16, 96])
@pytest.mark.parametrize("make", IMAGES.values(), ids=IMAGES)
def test_the_pixels_are_those_of_training(make, size, tmp_path):
    path = make(tmp_path / "image")
    code = {}
    exec(FUNCTIONS, code)
    np.testing.assert_array_equal(code["prepare"](path, size), decode_image(path, size))


@pytest.mark.tensorflow
@pytest.mark.parametrize("io", ["float32", "int8", "uint8"])
def test_the_whole_snippet_predicts_what_mnas_predicts(io, tiny_model, tiny_images, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    document = export_model(
        tiny_model,
        TINY,
        tmp_path / "model.tflite",
        dtype="int8",
        io=io,
        batches=[tiny_images],
        calibration=tiny_images[0][:32],
        about={"class_names": ["red", "green", "blue"]},
    )
    photo = _turned(6)(tmp_path / "photo")
    code = {}
    exec(SNIPPET, code)
    (predicted,) = predict_images("model.tflite", [photo]).images
    found = {each.label: each.probability for each in predicted.classes}
    assert found == pytest.approx(dict(zip(["red", "green", "blue"], code["probabilities"], strict=True)), abs=1e-6)
    assert capsys.readouterr().out.strip() == predicted.classes[0].label
    for name, tensor in (("input", code["model_input"]), ("output", code["model_output"])):
        assert document[name]["dtype"] == tensor["dtype"].__name__ == io
        if io != "float32":
            assert (document[name]["scale"], document[name]["zero_point"]) == pytest.approx(tensor["quantization"])
    card = (tmp_path / "model.md").read_text()
    assert "transparency on white" in card
    assert (f"integer = round(value / {document['input'].get('scale')})" in card) == (io != "float32")
