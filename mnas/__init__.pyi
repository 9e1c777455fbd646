from mnas.arch.codec import architecture_from_json as architecture_from_json
from mnas.arch.codec import architecture_to_json as architecture_to_json
from mnas.arch.codec import parse_stages as parse_stages
from mnas.arch.complexity import complexity as complexity
from mnas.arch.spec import Architecture as Architecture
from mnas.arch.spec import BlockSpec as BlockSpec
from mnas.arch.spec import StageSpec as StageSpec
from mnas.arch.walk import unroll as unroll
from mnas.arch.zoo import zoo as zoo
from mnas.errors import InputError as InputError
from mnas.errors import MnasError as MnasError
from mnas.latency.estimator import LatencyEstimate as LatencyEstimate
from mnas.latency.estimator import LatencyEstimator as LatencyEstimator
from mnas.latency.table import LatencyTable as LatencyTable
from mnas.reward import make_reward as make_reward
from mnas.scaling import scale_by_formula as scale_by_formula
from mnas.scaling import scale_published as scale_published
from mnas.search.objective import Objective as Objective
from mnas.search.objective import Target as Target
from mnas.search.run import Search as Search
from mnas.search.run import run_search as run_search
from mnas.search.study import Study as Study
from mnas.space.files import load_space as load_space
from mnas.space.space import SearchSpace as SearchSpace
from mnas.strategies.base import Strategy as Strategy
from mnas.strategies.registry import make_strategy as make_strategy
from mnas.train.base import Evaluator as Evaluator
from mnas.trial import Measurement as Measurement
from mnas.trial import Trial as Trial

__version__: str
__all__: list[str]
