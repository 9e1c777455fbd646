"""How a table's entries are alike: each is split into kinds of operators, and the parts belong to nested groups.

On another device, the parts of one group are slower or faster by similar factors. There are two families of groups.
Blocks are grouped by operation, kernel size, squeeze-and-excitation, resolution, and multiply-adds per number read or
written: few of these bound a block by memory. Operators are grouped by their kind, alone and at each resolution.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping, Sequence
from functools import cache

import numpy as np

from mnas.arch.codec import parse_key
from mnas.arch.complexity import block_complexity
from mnas.arch.spec import ClassifierSpec
from mnas.arch.walk import Layer, PlacedBlock, layers
from mnas.errors import InputError
from mnas.latency.least_squares import non_negative_least_squares
from mnas.latency.operator_regression import canonical, line_features, operator_group
from mnas.statistics import Array

Group = tuple[str, int, bool, str, int, int, str]  # operation, kernel, SE, skip, resolution, intensity, operator kind
_OTHER: Group = ("other", 0, False, "none", 1, 0, "other")  # of an entry whose key mnas cannot read
_QUICK = 0.2  # quantile of the latencies, below which residuals count in ms instead of percent
_LINE_DEVIATION, _ENTRY_NOISE = 0.5, 0.02  # of an operator from its line, and of an entry from its operators' sum
_LEAST = 0.05  # of its line: an operator's lower bound
_LEAST_SHARE = 0.03  # of an entry, for each kind of operator in it: what takes no time here can take some elsewhere
_INTENSITY_STEP, _MOST_INTENSITY = 1.5, 6  # doublings of multiply-adds per number for one step of the intensity
_RESOLUTION_LENGTH, _INTENSITY_LENGTH = 1.0, 2.0  # of the similarity, in doublings and in steps
_BLOCK_WEIGHTS = {"op": 0.5, "kernel": 0.4, "se": 0.3, "op_kernel_se": 0.4, "size": 0.5, "intensity": 0.4, "all": 0.4}
_OPERATOR_WEIGHTS = {"kind": 1.0, "kind_size": 0.35}
_LEAST_SINGULAR = 0.03  # directions of less weight over the largest are left out


def split_entries(latency_ms: Mapping[str, float]) -> tuple[list[Group], Array]:
    """Split entries into the parts of each group.

    Args:
        latency_ms: by key.

    Returns:
        The groups, and the parts in ms, shape (entries, groups). Rows are in the order of `latency_ms`, and sum to it.
    """
    kinds = _operator_times(latency_ms)
    numbers: dict[Group, int] = {}
    parts: list[tuple[int, int, float]] = []
    for row, (key, total) in enumerate(latency_ms.items()):
        own = kinds.get(key, {})
        least = _LEAST_SHARE * sum(own.values())
        own = {kind: max(part, least) for kind, part in own.items()}
        scale = total / sum(own.values()) if own else 0.0
        for kind, part in own.items():
            parts.append((row, numbers.setdefault((*_block_group(key), kind), len(numbers)), part * scale))
        if not own:
            parts.append((row, numbers.setdefault(_OTHER, len(numbers)), total))
    split = np.zeros((len(latency_ms), len(numbers)))
    for row, column, part in parts:
        split[row, column] += part
    return list(numbers), split


def group_effects(groups: Sequence[Group]) -> tuple[Array, Array]:
    """Return the effects of both families, shape (groups, directions): blocks', operators'.

    Independent standard normal coefficients of the directions give every group a log factor with a variance of about 1,
    and similar groups similar ones.
    """
    op, kernel, se, _, size, intensity, kind = map(list, zip(*groups, strict=True))
    blocks = {
        "op": _one_hot(op),
        "kernel": _one_hot(list(zip(op, kernel, strict=True))),
        "se": _one_hot(se),
        "op_kernel_se": _one_hot(list(zip(op, kernel, se, strict=True))),
        "size": _smooth(np.log2(size), _RESOLUTION_LENGTH),
        "intensity": _smooth(np.array(intensity, dtype=np.float64), _INTENSITY_LENGTH),
        "all": _one_hot(list(zip(op, kernel, se, size, intensity, strict=True))),
    }
    operators = {"kind": _one_hot(kind), "kind_size": _one_hot(list(zip(kind, size, strict=True)))}
    return _join(blocks, _BLOCK_WEIGHTS), _join(operators, _OPERATOR_WEIGHTS)


def _join(parts: Mapping[str, Array], weights: Mapping[str, float]) -> Array:
    norm = math.hypot(*weights.values())
    joined = np.hstack([parts[name] * weight / norm for name, weight in weights.items()])
    left, size, _ = np.linalg.svd(joined, full_matrices=False)
    kept = size > _LEAST_SINGULAR * size[0]
    return np.asarray(left[:, kept] * size[kept])


def _one_hot(labels: Sequence[Hashable]) -> Array:
    numbers = {label: number for number, label in enumerate(dict.fromkeys(labels))}
    return np.eye(len(numbers))[[numbers[label] for label in labels]]


def _smooth(places: Array, length: float) -> Array:
    """Return a root of the squared exponential similarity of places, shape (places, different places)."""
    different = np.unique(places)
    similarity = np.exp(-0.5 * (different[:, None] - different) ** 2 / length**2)
    root = np.linalg.cholesky(similarity + 1e-6 * np.eye(len(different)))
    return np.asarray(root[np.searchsorted(different, places)])


@cache
def _placed(key: str) -> PlacedBlock | None:
    try:
        return parse_key(key)
    except InputError:
        return None


@cache
def _operators(key: str) -> Counter[Layer]:
    placed = _placed(key)
    return Counter() if placed is None else Counter(canonical(layer) for layer in layers(placed))


@cache
def _block_group(key: str) -> tuple[str, int, bool, str, int, int]:
    placed = _placed(key)
    if placed is None:
        return _OTHER[:-1]
    block = placed.block
    if isinstance(block, ClassifierSpec):
        return "classifier", 1, False, "none", placed.in_size, 0
    cost = block_complexity(placed)
    numbers = placed.in_size**2 * placed.in_filters + placed.out_size**2 * placed.out_filters + cost.params
    intensity = round(math.log2(max(cost.madds, 1) / numbers) / _INTENSITY_STEP)
    intensity = min(max(intensity, 0), _MOST_INTENSITY)
    return block.op, block.kernel_size, block.se_ratio > 0, block.skip, placed.in_size, intensity


def _operator_times(latency_ms: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """Return the time of each kind of operator in each entry, in ms; entries without readable operators are left out.

    Entries are sums over operators: each kind has a line, from which operators deviate (ridge regression).
    """
    keys = [key for key, total in latency_ms.items() if total > 0 and _operators(key)]
    if not keys:
        return {}
    total = np.array([latency_ms[key] for key in keys])
    operators = {
        layer: number for number, layer in enumerate(dict.fromkeys(o for key in keys for o in _operators(key)))
    }
    counts = np.zeros((len(keys), len(operators)))
    for row, key in enumerate(keys):
        for layer, times in _operators(key).items():
            counts[row, operators[layer]] = times
    lines = _lines(list(operators))
    weight = np.maximum(total, np.quantile(total, _QUICK))
    design = counts @ lines / weight[:, None]
    scale = np.maximum(design.max(axis=0), 1e-12)
    line = lines @ (non_negative_least_squares(design / scale, total / weight) / scale)
    line = np.maximum(line, _LEAST * float(np.median(line[line > 0])))
    rows = counts * line / (weight * _ENTRY_NOISE)[:, None]
    residual = (total - counts @ line) / (weight * _ENTRY_NOISE)
    normal = rows.T @ rows + np.eye(len(line)) / _LINE_DEVIATION**2
    times_ms = line * np.maximum(1 + np.linalg.solve(normal, rows.T @ residual), _LEAST)
    found: dict[str, dict[str, float]] = {}
    for key in keys:
        parts: dict[str, float] = defaultdict(float)
        for layer, times in _operators(key).items():
            parts[_kind(layer)] += times * times_ms[operators[layer]]
        found[key] = dict(parts)
    return found


def _lines(operators: Sequence[Layer]) -> Array:
    """Return the features of the operators' lines, shape (operators, features of all groups)."""
    groups = _one_hot([operator_group(layer) for layer in operators])
    features = np.array([line_features(layer) for layer in operators])
    return np.asarray((groups[:, :, None] * features[:, None, :]).reshape(len(operators), -1))


def _kind(layer: Layer) -> str:
    if layer.role.startswith("se_") or layer.kind == "multiply" or layer.activation == "sigmoid":
        return "se"
    return f"{layer.kind}{layer.kernel_size}" if layer.kind in ("conv", "depthwise") else layer.kind
