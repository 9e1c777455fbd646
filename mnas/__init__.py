"""mnas designs a neural network for your phone: profile, search, scale, train, export, measure.

These names are the library. They load when they are first used (PEP 562), so that `import mnas` costs nothing; their
types are in `__init__.pyi`.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_WHERE = {
    "architecture_from_json": "mnas.arch.codec",
    "architecture_to_json": "mnas.arch.codec",
    "parse_stages": "mnas.arch.codec",
    "complexity": "mnas.arch.complexity",
    "Architecture": "mnas.arch.spec",
    "BlockSpec": "mnas.arch.spec",
    "StageSpec": "mnas.arch.spec",
    "unroll": "mnas.arch.walk",
    "zoo": "mnas.arch.zoo",
    "open_device": "mnas.devices.registry",
    "InputError": "mnas.errors",
    "MnasError": "mnas.errors",
    "export_network": "mnas.export.pipeline",
    "LatencyEstimate": "mnas.latency.estimator",
    "LatencyEstimator": "mnas.latency.estimator",
    "LatencyTable": "mnas.latency.table",
    "build_model": "mnas.nn.build",
    "bench": "mnas.profiling.bench",
    "ExtendedEstimator": "mnas.profiling.extend",
    "ProfileOptions": "mnas.profiling.profile",
    "profile": "mnas.profiling.profile",
    "make_reward": "mnas.reward",
    "scale_by_formula": "mnas.scaling",
    "scale_published": "mnas.scaling",
    "LatencyGoal": "mnas.scaling.to_latency",
    "scale_to_latency": "mnas.scaling.to_latency",
    "Objective": "mnas.search.objective",
    "Target": "mnas.search.objective",
    "Search": "mnas.search.run",
    "run_search": "mnas.search.run",
    "SearchOptions": "mnas.search.setup",
    "prepare": "mnas.search.setup",
    "Study": "mnas.search.study",
    "load_space": "mnas.space.files",
    "SearchSpace": "mnas.space.space",
    "Strategy": "mnas.strategies.base",
    "make_strategy": "mnas.strategies.registry",
    "Evaluator": "mnas.train.base",
    "train_network": "mnas.train.fit",
    "recipe_for": "mnas.train.recipe",
    "DataSource": "mnas.train.trained",
    "open_trained": "mnas.train.trained",
    "Measurement": "mnas.trial",
    "Trial": "mnas.trial",
}
__all__ = ["__version__", *sorted(_WHERE)]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'mnas' has no attribute {name!r}")
    value = getattr(import_module(_WHERE[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_WHERE})
