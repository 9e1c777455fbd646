"""MnasNet-A1's 25 published Pixel 1 latencies: what multiply-adds alone explain, inside one family.

The file is not part of this repository: the test runs where it lies in the folder beside it.
"""

import csv
from pathlib import Path

import numpy as np
import pytest

from mnas.arch import complexity, zoo
from mnas.arch.resize import resize

FILE = Path(__file__).parents[3] / "shared" / "data" / "mnasnet_a1_pixel1_25.csv"


@pytest.fixture(scope="module")
def rows():
    if not FILE.is_file():
        pytest.skip(f"the published latencies are not at {FILE.parent.name}/{FILE.name} beside the repository")
    with FILE.open() as file:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]


def test_a_line_through_multiply_adds_explains_the_published_latencies(rows):
    madds = np.array([row["madds_M"] for row in rows])
    published = np.array([row["pixel1_ms"] for row in rows])
    slope, intercept = np.polyfit(madds, published, 1)
    assert intercept == pytest.approx(6.14, abs=0.01)
    assert slope == pytest.approx(0.2205, abs=0.0001)
    predicted = intercept + slope * madds
    assert np.sqrt(np.mean((predicted - published) ** 2)) == pytest.approx(1.99, abs=0.01)
    assert np.sum(np.abs(predicted / published - 1) <= 0.1) == 21


def test_our_arithmetic_on_the_scaled_networks(rows):
    """The published counts include 1 to 3 % more than convolutions, at every width and resolution alike."""
    base = zoo("mnasnet-a1")
    ratios = []
    for row in rows:
        scaled = resize(base, width=row["depth_multiplier"], resolution=int(row["input_size"]), scale_head=False)
        ratios.append(complexity(scaled).madds / 1e6 / row["madds_M"])
    assert 0.97 < min(ratios) <= max(ratios) < 1
