"""A tiny teacher of digits, the space around it, and its block library, for tests: seconds to make."""

from dataclasses import replace
from pathlib import Path

from mnas.arch import Architecture, parse_stages
from mnas.data.dataset import DataSource
from mnas.library.options import LibraryOptions
from mnas.space.around import space_around

TEACHER = Architecture(
    parse_stages("ds_r1_k3_s1_c8|ir_r1_k3_s2_e3_c12_se0.25|ir_r1_k5_s1_e3_c12"),
    stem_filters=8,
    stem_stride=1,
    head_filters=32,
    resolution=8,
    num_classes=10,
    activation="relu6",
    dropout=0,
)
SOURCE = DataSource("digits", limit=600)
OPTIONS = LibraryOptions(steps=20, batch_size=16)


def tiny_space(*, resolutions=(8, 6)):
    """The space of the tiny library: 2 x 8 x 5 blocks, and two resolutions."""
    return space_around(TEACHER, kernel_sizes=(3, 5), expansion_shares=(1 / 3, 1), resolutions=resolutions)


def train_teacher(folder: Path, **changes):
    """Train the tiny teacher."""
    from mnas.train.trainer import train_network

    return train_network(replace(TEACHER, **changes), SOURCE, folder, epochs=12, batch_size=32)


def build(teacher, folder: Path, **options):
    """Build the tiny library, or another one of the same teacher."""
    from mnas.library.build import build_library

    given = {"space": tiny_space(), "options": OPTIONS, "workers": 1}
    return build_library(teacher, options.pop("dataset", None) or teacher.load_data(), folder, **{**given, **options})
