"""Search spaces: an ordered list of decisions, and the bijection between indices and architectures."""

from mnas.space.around import check_fits_teacher, space_around, without_slower, without_unknown
from mnas.space.costs import SpaceCosts
from mnas.space.files import SPACES, load_space, save_space
from mnas.space.space import SearchSpace
from mnas.space.stages import Decision, StageBlocks, StageChoices

__all__ = [
    "SPACES",
    "Decision",
    "SearchSpace",
    "SpaceCosts",
    "StageBlocks",
    "StageChoices",
    "check_fits_teacher",
    "load_space",
    "save_space",
    "space_around",
    "without_slower",
    "without_unknown",
]
