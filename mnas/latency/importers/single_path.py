"""Single-Path NAS's runtime model: the blocks of its rows, and their latencies.

The file is JSON: block number -> {"0": k3 e3, "1": k3 e6, "2": k5 e3, "3": k5 e6}, in ms. The shapes are in
the program (enyac-group/single-path-nas, nas-search/supernet_macro.py and singlepath_supernet.py): 224 px, ReLU, a
stem, block 0, five stages of four blocks, block 21, head, classifier. Only the twenty blocks of the stages are
searched; the program adds 19.5999 ms for all others.

The program adds 0.7 ms, "negligible", for a skipped block, to keep its gradients. Here a skipped block is not part of
the network and adds nothing.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from typing import Any

import numpy as np

from mnas.arch.codec import parse_stages
from mnas.arch.complexity import block_complexity
from mnas.arch.spec import Architecture
from mnas.arch.walk import PlacedBlock, unroll
from mnas.checks import check_number
from mnas.errors import InputError
from mnas.latency.table import Entry

REST_MS = 19.5999
_CHOICES = ("k3_e3", "k3_e6", "k5_e3", "k5_e6")
_NUM_BLOCKS = 22
_STAGES = ("s2_{}_c24", "s2_{}_c40", "s2_{}_c80", "s1_{}_c96", "s2_{}_c192")


def network(choice: str) -> Architecture:
    """Return the network with the same choice, such as `k3_e6`, in every searched block."""
    kernel, expansion = choice.split("_")
    stages = [f"ir_r4_{kernel}_{stage.format(expansion)}" for stage in _STAGES]
    text = "|".join(["ds_r1_k3_s1_c16_noskip", *stages, "ir_r1_k3_s1_e6_c320_noskip"])
    return Architecture(parse_stages(text), activation="relu")


def entries(text: str) -> dict[str, Entry]:
    """Return entries for every block of every network of the space; their sums are those of the program.

    Equal blocks (the second to the fourth of a stage) have separate rows in the file: the entry is their mean. The
    19.5999 ms are known as a sum only, and are split by multiply-adds: fitted, not measured.

    Raises:
        InputError: if the text is not such a file.
    """
    rows = _rows(text)
    times: dict[str, list[float]] = defaultdict(list)
    for index, choice in enumerate(_CHOICES):
        for number, placed in enumerate(_searched(network(choice)), start=1):
            times[placed.key].append(rows[number][index])
    measured = {
        key: Entry(math.fsum(all_ms) / len(all_ms), float(np.std(all_ms)), len(all_ms), "imported")
        for key, all_ms in times.items()
    }
    return measured | _rest()


def _searched(architecture: Architecture) -> tuple[PlacedBlock, ...]:
    return unroll(architecture)[2:-3]  # without stem and block 0; without block 21, head and classifier


def _rest() -> dict[str, Entry]:
    walk = unroll(network(_CHOICES[0]))
    rest = walk[:2] + walk[-3:]
    madds = [block_complexity(placed).madds for placed in rest]
    shares = [REST_MS * each / sum(madds) for each in madds]
    # The split is a guess, so each part's error is as large as the part.
    return {placed.key: Entry(ms, ms, 0, "fitted") for placed, ms in zip(rest, shares, strict=True)}


def _rows(text: str) -> list[list[float]]:
    """Return the latencies in ms by block number and choice."""
    try:
        data = json.loads(text, object_pairs_hook=_pairs)
    except (ValueError, RecursionError) as error:
        raise InputError(f"a Single-Path NAS runtime model is JSON: {str(error)[:200]}") from None
    expected = [str(number) for number in range(_NUM_BLOCKS)]
    if not isinstance(data, dict) or sorted(data) != sorted(expected):
        raise InputError(f"expected one object with the blocks 0 to {_NUM_BLOCKS - 1} of Single-Path NAS's space")
    return [_row(number, data[number]) for number in expected]


def _row(number: str, row: Any) -> list[float]:
    if not isinstance(row, dict) or sorted(row) != ["0", "1", "2", "3"]:
        raise InputError(f"block {number}: expected four times in ms, under 0 (k3 e3), 1 (k3 e6), 2 (k5 e3), 3 (k5 e6)")
    for name, value in row.items():
        check_number(f"block {number}, choice {name}", value, 0, 1e7)
    return [row[str(index)] for index in range(4)]


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a name occurs twice in one object")
    return dict(pairs)
