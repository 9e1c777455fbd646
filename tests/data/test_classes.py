"""Classes are matched by name, never by their number or place."""

import numpy as np
import pytest

from mnas.data.classes import describe_counts, match_classes, with_classes
from mnas.data.dataset import Dataset, Split
from mnas.errors import InputError


def _dataset(*names):
    labels = np.arange(6) % len(names)
    split = Split(np.arange(6, dtype=np.uint8)[:, None, None, None] * np.ones((6, 2, 2, 3), np.uint8), labels)
    return Dataset("pets", names, split, split.take(slice(3)), split.take(slice(3, 6)))


def _named(dataset, split):
    return [dataset.class_names[label] for label in getattr(dataset, split).labels]


def test_the_same_order_changes_nothing():
    pets = _dataset("cat", "dog", "eel")
    assert with_classes(pets, ["cat", "dog", "eel"], network="run") is pets


def test_another_order_is_mapped_by_name():
    pets = _dataset("cat", "dog", "eel")
    mapped = with_classes(pets, ["eel", "cat", "dog"], network="run")
    assert mapped.class_names == ("eel", "cat", "dog")
    for split in ("train", "validation", "test"):
        assert _named(mapped, split) == _named(pets, split)
        np.testing.assert_array_equal(getattr(mapped, split).images, getattr(pets, split).images)
    assert mapped.train.labels.dtype == np.int64


@pytest.mark.parametrize(("names", "message"), [
    (("cat", "dogs", "eel"), "dogs of the data is not of the network; dog of the network is not of the data"),
    (("cat", "dog"), "pets has 2 classes and runs/a 3, and they are not the same: eel of the network is not"),
    (("cat", "dog", "eel", "frog"), "frog of the data is not of the network. Expected data with the network's"),
    (("a", "b", "c", "d"), "a, b, c and 1 more of the data are not of the network; cat, dog, eel of the network"),
])  # fmt: skip
def test_other_classes_are_refused_by_their_names(names, message):
    with pytest.raises(InputError, match=message):
        match_classes(["cat", "dog", "eel"], names, network="runs/a", data="pets")


def test_images_are_counted_by_class_where_there_are_few_classes_and_as_a_span_elsewhere():
    few = _dataset("cat", "dog", "eel", "fox")
    assert describe_counts(few) == (
        "6 training, 3 validation and 3 test images; by class: cat 2/1/1, dog 2/1/1, eel 1/1/0, fox 1/0/1"
    )
    many = describe_counts(_dataset(*(f"kind{number}" for number in range(40))))
    assert many == (
        "6 training, 3 validation and 3 test images of 40 classes, each with 0 to 1, 0 to 1 and 0 to 1; fewest to "
        "train on has kind6"
    )
