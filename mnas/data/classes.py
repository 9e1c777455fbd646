"""Classes are compared by their names: labels are numbers, and mean different things in different data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mnas.data.dataset import Dataset, Split
from mnas.data.folder_layout import listed
from mnas.errors import InputError

_SHOWN = 3  # classes that a message names
_MOST_LISTED = 12  # classes whose images are counted one by one


def match_classes(known: Sequence[str], names: Sequence[str], *, network: str, data: str) -> list[int]:
    """Return the place among `names` of each of a network's classes.

    Args:
        known: the classes of a trained network, in the order of its outputs.
        names: the classes of data, in the order of their labels.
        network: what the network is, for messages.
        data: what the data are, for messages.

    Raises:
        InputError: if they are not the same classes; it names the first that differ.
    """
    lacking = [name for name in known if name not in names]
    unknown = [name for name in names if name not in known]
    if lacking or unknown or len(known) != len(names):
        words = []
        if unknown:
            words.append(f"{listed(unknown, _SHOWN)} of the data {_is(unknown)} not of the network")
        if lacking:
            words.append(f"{listed(lacking, _SHOWN)} of the network {_is(lacking)} not of the data")
        raise InputError(
            f"{data} has {len(names)} classes and {network} {len(known)}, and they are not the same: "
            f"{'; '.join(words) or 'a name is there twice'}. Expected data with the network's classes: rename the "
            "folders, or train on these data first"
        )
    return [list(names).index(name) for name in known]


def with_classes(dataset: Dataset, known: Sequence[str], *, network: str) -> Dataset:
    """Return data with the labels of a network's classes, matched by name.

    Raises:
        InputError: as `match_classes`.
    """
    places = match_classes(known, dataset.class_names, network=network, data=dataset.name)
    if places == list(range(len(places))):
        return dataset
    labels = np.argsort(places)  # from a place in the data to the network's label

    def relabelled(split: Split) -> Split:
        return Split(split.images, labels[split.labels].astype(np.int64))

    return replace(
        dataset,
        class_names=tuple(known),
        train=relabelled(dataset.train),
        validation=relabelled(dataset.validation),
        test=relabelled(dataset.test),
    )


def describe_counts(dataset: Dataset) -> str:
    """Return how many images each split and each class has, in one or two lines."""
    splits = (dataset.train, dataset.validation, dataset.test)
    total = "{:,} training, {:,} validation and {:,} test images".format(*map(len, splits))
    counts = np.stack([np.bincount(split.labels, minlength=dataset.num_classes) for split in splits])
    if dataset.num_classes <= _MOST_LISTED:
        each = (f"{name} {'/'.join(map(str, own))}" for name, own in zip(dataset.class_names, counts.T, strict=True))
        return f"{total}; by class: {', '.join(each)}"
    fewest = dataset.class_names[int(counts[0].argmin())]
    spans = [f"{own.min()} to {own.max()}" if own.min() < own.max() else str(own.min()) for own in counts]
    return (
        f"{total} of {dataset.num_classes} classes, each with {spans[0]}, {spans[1]} and {spans[2]}; fewest to train "
        f"on has {fewest}"
    )


def _is(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"
