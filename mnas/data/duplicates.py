"""Images that are nearly the same: difference hashes, and groups of hashes that differ in few bits."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from PIL import Image

BITS = 128
# Of the pairs among 3,119 photographs of flowers, the 13 up to 9 bits show the same scene, and unrelated ones begin at
# 10. A photograph that was scaled to 0.7 of its size and compressed again differs in 4 bits at most (of 150, 98 %).
MOST_DIFFERENT = 8
# Sides of images, in pixels. Drawings on a plain background come close to each other: among 3,000 images of
# Fashion-MNIST (28 px), 4,777 pairs are within 8 bits.
SMALLEST = 64
_FLAT = 4  # range of grey values below which an image has no structure to compare
_ROWS = 256  # of the matrix of distances at a time

Hash = npt.NDArray[np.bool_]


def difference_hash(image: Image.Image) -> Hash | None:
    """Say of an image's 9x9 grey values whether each is darker than its neighbour on the right, and below.

    The hash hardly changes with the size, compression, brightness and contrast of an image; it does change when it is
    cropped, mirrored or rotated.

    Returns:
        `BITS` bits, or None for an image of one colour, or smaller than `SMALLEST`: they have too little detail.
    """
    from PIL import Image

    if min(image.size) < SMALLEST:
        return None
    grey = np.asarray(image.convert("L").resize((9, 9), Image.Resampling.BILINEAR)).astype(np.int16)
    if np.ptp(grey) < _FLAT:
        return None
    return np.concatenate([(grey[:8, 1:] > grey[:8, :-1]).ravel(), (grey[1:, :8] > grey[:-1, :8]).ravel()])


def group_similar(
    hashes: npt.NDArray[np.bool_],
    most_different: int = MOST_DIFFERENT,
    *,
    progress: Callable[[float], None] = lambda share: None,
) -> list[list[int]]:
    """Group hashes of shape (count, `BITS`) that differ in few bits, directly or through others of the group.

    The time grows with the square of the count: about a second for 10,000.

    Args:
        hashes: to group.
        most_different: number of bits in which two may differ.
        progress: is told the share that was done.

    Returns:
        Groups of two or more, as sorted indices, ordered by their first.
    """
    signs = hashes.astype(np.float32) * 2 - 1
    group = np.arange(len(signs))
    for start in range(0, len(signs), _ROWS):
        stop = min(start + _ROWS, len(signs))
        # The product of two rows of signs is the number of equal bits minus that of different ones.
        close = signs[start:stop] @ signs[:stop].T >= BITS - 2 * most_different
        known = group[:stop]
        for row in np.flatnonzero(np.count_nonzero(close, axis=1) > 1):
            joined = known[close[row]]
            if (joined != joined[0]).any():
                known[np.isin(known, joined)] = joined.min()
        progress((stop / len(signs)) ** 2)
    order = np.argsort(group, kind="stable")
    cuts = np.flatnonzero(np.diff(group[order])) + 1
    return [[int(index) for index in members] for members in np.split(order, cuts) if len(members) > 1]
