"""Similar images are found, different ones are not."""

import io

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from mnas.data.duplicates import BITS, MOST_DIFFERENT, difference_hash, group_similar


def _photo(seed):
    """Smooth light and shade in colours, as photographs have."""
    small = np.random.default_rng(seed).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((320, 240), Image.Resampling.BICUBIC)


def _compressed(image, quality):
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file)


@pytest.mark.parametrize(
    "change",
    [
        lambda image: _compressed(image, 30),
        lambda image: image.resize((200, 150), Image.Resampling.LANCZOS),
        lambda image: _compressed(image.resize((640, 480)), 60),
        lambda image: ImageEnhance.Brightness(image).enhance(0.7),
        lambda image: ImageEnhance.Contrast(image).enhance(0.8),
    ],
    ids=["compressed", "smaller", "larger", "darker", "paler"],
)
def test_a_changed_photograph_is_similar_and_others_are_not(change):
    photos = [_photo(seed) for seed in range(8)]
    hashes = [difference_hash(photo) for photo in photos]
    for photo, hashed in zip(photos, hashes, strict=True):
        distances = [int((difference_hash(change(photo)) != other).sum()) for other in hashes]
        assert [distance <= MOST_DIFFERENT for distance in distances] == [other is hashed for other in hashes]


def test_images_without_detail_have_no_hash():
    assert difference_hash(Image.new("RGB", (100, 100), "red")) is None
    assert difference_hash(_photo(0).resize((320, 63))) is None
    assert difference_hash(_photo(0)).shape == (BITS,)


@pytest.mark.parametrize("count", [3, 1500, 2500])
def test_groups_are_those_that_differ_in_few_bits(count):
    hashes = np.random.default_rng(0).random((count, BITS)) > 0.5
    hashes[-1] = hashes[0]
    hashes[-1, :MOST_DIFFERENT] ^= True
    assert group_similar(hashes) == [[0, count - 1]]
    hashes[-1, MOST_DIFFERENT] ^= True
    assert group_similar(hashes) == []


def test_groups_join_through_their_members():
    hashes = np.zeros((5, BITS), bool)
    hashes[1, :8] = hashes[3, :16] = True
    hashes[2, 64:] = hashes[4, 64:] = True
    assert group_similar(hashes) == [[0, 1, 3], [2, 4]]
    assert group_similar(hashes, 7) == [[2, 4]]


def test_comparing_many_says_how_far_it_is():
    shares = []
    group_similar(np.random.default_rng(0).random((1000, BITS)) > 0.5, progress=shares.append)
    assert shares == sorted(shares)
    assert len(shares) > 1
    assert shares[-1] == 1
