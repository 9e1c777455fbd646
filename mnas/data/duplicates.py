"""Images that are nearly the same: difference hashes, and groups of hashes that differ in few bits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from PIL import Image

BITS = 128
# Of 128 bits. Of 3,119 photographs of flowers, all pairs up to 10 are the same picture, unrelated ones begin at 14.
# Drawings on a plain background come closer: among 3,000 of Fashion-MNIST, 100 pairs are within 4, 400 within 6.
MOST_DIFFERENT = 4
_FLAT = 4  # range of grey values below which an image has no structure to compare
_ROWS = 1024  # of the matrix of distances at a time

Hash = npt.NDArray[np.bool_]


def difference_hash(image: Image.Image) -> Hash | None:
    """Say of an image's 9x9 grey values whether each is darker than its neighbour on the right, and below.

    The hash hardly changes with the size, compression, brightness and contrast of an image; it does change when it is
    cropped, mirrored or rotated.

    Returns:
        `BITS` bits, or None for an image of one colour.
    """
    from PIL import Image

    grey = np.asarray(image.convert("L").resize((9, 9), Image.Resampling.BOX)).astype(np.int16)
    if np.ptp(grey) < _FLAT:
        return None
    return np.concatenate([(grey[:8, 1:] > grey[:8, :-1]).ravel(), (grey[1:, :8] > grey[:-1, :8]).ravel()])


def group_similar(hashes: npt.NDArray[np.bool_], most_different: int = MOST_DIFFERENT) -> list[list[int]]:
    """Group hashes of shape (count, `BITS`) that differ in few bits, directly or through others of the group.

    The time grows with the square of the count: about a second for 10,000.

    Returns:
        Groups of two or more, as sorted indices, ordered by their first.
    """
    signs = hashes.astype(np.float32) * 2 - 1
    group = np.arange(len(signs))
    for start in range(0, len(signs), _ROWS):
        # The product of two rows of signs is the number of equal bits minus that of different ones.
        close = signs[start : start + _ROWS] @ signs[: start + _ROWS].T >= BITS - 2 * most_different
        for row in np.flatnonzero(close.sum(axis=1) > 1):
            joined = np.unique(group[: close.shape[1]][close[row]])
            group[np.isin(group, joined)] = joined[0]
    order = np.argsort(group, kind="stable")
    cuts = np.flatnonzero(np.diff(group[order])) + 1
    return [[int(index) for index in members] for members in np.split(order, cuts) if len(members) > 1]
