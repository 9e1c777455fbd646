"""What may be asked of a file, and which calibration images are refused. Needs no TensorFlow."""

import numpy as np
import pytest

from mnas.errors import InputError
from mnas.export.convert import check_calibration, quantizer

GOOD = np.random.default_rng(0).uniform(-1, 1, (4, 8, 8, 3)).astype(np.float32)


def test_images_in_range_are_taken():
    check_calibration(GOOD)


@pytest.mark.parametrize(("images", "reason"), [
    (GOOD * 127.5 + 127.5, r"range from .* expected \[-1, 1\]; pass the images through"),
    (GOOD * 0.01, "range only from"),
    (GOOD * np.nan, "NaN"),
    (GOOD[0], r"expected \(count, size, size, 3\)"),
    (GOOD[:0], r"expected \(count, size, size, 3\)"),
    (GOOD[..., :1], r"expected \(count, size, size, 3\)"),
])  # fmt: skip
def test_images_that_would_ruin_the_ranges_are_refused(images, reason):
    with pytest.raises(InputError, match=reason):
        check_calibration(images)


def test_what_no_file_can_be_is_refused():
    with pytest.raises(InputError, match="dtype is 'int4': expected one of float32, float16, dynamic, int8"):
        quantizer("int4")
    with pytest.raises(InputError, match="io is 'int8' for float16"):
        quantizer("float16", io="int8")
    with pytest.raises(InputError, match="int8 needs calibration images"):
        quantizer("int8")
