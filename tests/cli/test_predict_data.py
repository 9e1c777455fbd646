"""`mnas data` prints what is there, and `mnas predict` what is in pictures."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from tests.commands import run

MODEL = Path(__file__).parents[2] / "models" / "fashion_mnist_xeon.int8.tflite"


@pytest.fixture
def photos(tmp_path):
    for number in range(12):
        for label, colour in (("cats", "red"), ("dogs", "blue")):
            image = Image.new("RGB", (90, 70), colour)
            ImageDraw.Draw(image).ellipse((5 * number, 3 * number, 20 + 6 * number, 60), "white")
            (tmp_path / "photos" / label).mkdir(parents=True, exist_ok=True)
            image.save(tmp_path / "photos" / label / f"{number}.png")
    shutil.copy(tmp_path / "photos" / "cats" / "3.png", tmp_path / "photos" / "dogs" / "[bold]3.png")
    (tmp_path / "photos" / "cats" / "broken.jpg").write_bytes(b"")
    return tmp_path / "photos"


def test_data_prints_counts_and_what_is_wrong(photos):
    text = run("data", photos)
    assert "│ cats  │     12 │" in text
    assert "Sizes in pixels: smallest 90x70" in text
    assert "Unreadable:\n  cats/broken.jpg: " in text
    assert "cats/3.png" in text
    assert "dogs/[bold]3.png" in text
    assert "Warning: unreadable and skipped: 1 file" in text
    document = json.loads(run("data", photos, "--json"))
    assert document["images"]["all"] == {"cats": 12, "dogs": 13}
    assert ["cats/3.png", "dogs/[bold]3.png"] in [group["files"] for group in document["duplicates"] if group["exact"]]


def _mnas(*arguments):
    return subprocess.run([sys.executable, "-m", "mnas", *map(str, arguments)], capture_output=True, text=True)


def test_predict_goes_on_after_an_unreadable_image_and_exits_with_1(photos):
    done = _mnas("predict", MODEL, photos / "cats", "--top", "2")
    assert done.returncode == 1
    assert len(done.stdout.splitlines()) == 12
    assert done.stdout.splitlines()[0].startswith(f"{photos / 'cats' / '0.png'}: ")
    assert done.stdout.splitlines()[0].count("%") == 2
    assert done.stderr.startswith(f"mnas: {photos / 'cats' / 'broken.jpg'}: not a readable image")
    assert len(done.stderr.splitlines()) == 1
    done = _mnas("predict", MODEL, photos / "cats", "--json")
    assert done.returncode == 1
    document = json.loads(done.stdout)
    assert [image["error"] is None for image in document["images"]].count(False) == 1
    assert document["images"][0]["classes"][0].keys() == {"index", "label", "probability"}


def test_names_of_files_need_not_be_text(photos):
    for label in ("cats", "dogs"):
        shutil.copy(photos / "cats" / "5.png", os.fsencode(photos / label) + b"/\xff.png")
    done = _mnas("predict", MODEL, photos / "cats", "--top", "1")
    assert "/\\udcff.png: " in done.stdout
    done = _mnas("data", photos)
    assert done.returncode == 0, done.stderr
    assert "cats/\\udcff.png" in done.stdout


def test_predict_and_data_load_no_tensorflow(photos):
    code = (
        "import sys\nfrom tests.commands import run\n"
        f"run('predict', {str(MODEL)!r}, {str(photos / 'cats' / '0.png')!r})\nrun('data', {str(photos)!r})\n"
        "sys.exit(', '.join({'tensorflow', 'keras'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
