"""The photographs that a benchmark makes are all different, and those that are there are kept."""

import numpy as np
import pytest
from PIL import Image

from mnas.data.inspection import inspect_folder
from tools.bench.many_photographs import SIZE, make_photographs


@pytest.fixture
def source(tmp_path):
    for number, name in enumerate(("cat", "dog")):
        (tmp_path / "source" / name).mkdir(parents=True)
        for image in range(3):
            coarse = np.random.default_rng([number, image]).integers(0, 256, (14, 14, 3), dtype=np.uint8)
            large = Image.fromarray(coarse).resize((224, 224), Image.Resampling.BICUBIC)
            large.save(tmp_path / "source" / name / f"{image}.jpg")
    return tmp_path / "source"


def test_photographs_differ_and_a_second_run_goes_on(source, tmp_path):
    photos = tmp_path / "photos"
    make_photographs(source, photos, 12)
    before = {path: path.stat().st_mtime_ns for path in photos.glob("*/*")}
    make_photographs(source, photos, 18)
    report = inspect_folder(photos)
    assert report.images == {"all": {"cat": 9, "dog": 9}}
    assert report.sizes["smallest"] == report.sizes["largest"] == SIZE
    assert not report.duplicates
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_folder_without_photographs_is_refused(tmp_path):
    with pytest.raises(SystemExit, match="expected a folder of photographs by class"):
        make_photographs(tmp_path, tmp_path / "photos", 2)
