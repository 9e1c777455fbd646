"""The options of a search, declared once.

Each option's type carries its range and its help text. From these come the fields of `SearchOptions`, the checks, the
options of `mnas search`, `mnas compare` and `mnas space survey`, and what a study keeps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Meta

from mnas.checks import check_choice, check_fields
from mnas.data.folder_layout import find_again
from mnas.errors import InputError
from mnas.evaluators.registry import find_evaluator
from mnas.study.kept_paths import PATHS
from mnas.train.recipe import CLASS_WEIGHTS, check_augment

if TYPE_CHECKING:
    from mnas.study.study import Study

_DATA = "digits, fashion_mnist, cifar10, cifar100, or a folder of images by class"
# Studies keep the first names of their options.
_NAMES_IN_FILES = {"max_train_images": "limit", "retrain_seeds": "verdict_seeds"}
# Options that studies of version 0.1 have; `mnas search` says what to use instead.
REMOVED_OPTIONS = ("supernet_steps", "supernet_batch", "supernet_sampling", "supernet_paths", "inherit")
DATA_PATH = "data_path"  # beside the options of a study: the folder's absolute path, if it is one
_NAMES_IN_OPTIONS = {file: name for name, file in _NAMES_IN_FILES.items()}

DEFAULT_SPACE, OWN_SPACE = "mnasnet-32", "library"
AUTO = "auto"  # the evaluator library where there is a teacher or a library, else proxy
FROM_DATA = "train"  # a teacher that is trained from the data
Space = Annotated[str, Meta(description="A shipped space or a TOML file; with a block library, its own by default.")]
TeacherName = Annotated[
    str,
    Meta(
        description="A folder of mnas train, a zoo network with published weights (fine-tuned first), or train (one is "
        "trained from the data first). A block library is made from it."
    ),
]
LibraryFolder = Annotated[str, Meta(description="A block library; with --teacher it is made there if it is missing.")]
Tables = Annotated[
    Sequence[str], Meta(description="A latency table, or a name of mnas table list; may be given several times.")
]
BudgetsMs = Annotated[
    Sequence[Annotated[float, Meta(gt=0, le=1e9, title="a positive number of ms")]],
    Meta(description="The largest latency of a winner in ms, one for each --table."),
]
MaxSizeMb = Annotated[float, Meta(gt=0, description="The largest .tflite file, in MB.")]
MaxMemoryMb = Annotated[float, Meta(gt=0, description="The maximum memory of the network at run time, in MB.")]
Data = Annotated[str, Meta(description=f"Training images: {_DATA}.")]
StrategyName = Annotated[
    str,
    Meta(
        description="random, reinforce, ppo, evolution, nsga2, optuna:SAMPLER or python:MODULE:CLASS; with a block "
        "library also exact (integer programs) and differentiable."
    ),
]
EvaluatorName = Annotated[
    str,
    Meta(
        description="library (a teacher's block library, the default where there is one), proxy (short trainings), "
        "predictor (some trainings, the rest predicted), tabular:FILE.json, or python:MODULE:FUNCTION."
    ),
]
RewardName = Annotated[str, Meta(description="absolute (TuNAS), soft or hard (MnasNet).")]
Beta = Annotated[float, Meta(description="The reward's weight (absolute) or exponent; below 0.")]
Trials = Annotated[int, Meta(ge=1, description="Number of candidates to evaluate.")]
Batch = Annotated[int, Meta(ge=1, description="Candidates between two updates of the strategy.")]
Finalists = Annotated[int, Meta(ge=1, description="Number of best candidates that are trained longer.")]
ProxySteps = Annotated[int, Meta(ge=1, description="Training steps of a candidate.")]
ProxyBatch = Annotated[int, Meta(ge=2, description="Images in a training step.")]
Rungs = Annotated[
    int, Meta(ge=1, description="Number of scores in a training, to stop unpromising candidates early; 1: never.")
]
EvaluationMinutes = Annotated[
    float, Meta(ge=1e-3, le=1e6, description="End an evaluation that takes longer; its trial counts as failed.")
]
PredictorSamples = Annotated[int, Meta(ge=5, description="Candidates trained to fit the predictor.")]
Confirmed = Annotated[
    int, Meta(ge=1, description="With a block library: number of best candidates that are scored as stitched networks.")
]
FinalEpochs = Annotated[int, Meta(ge=1, description="With a block library: epochs of a finalist's fine-tuning.")]
Distill = Annotated[
    float, Meta(ge=0, le=1, description="With a block library: weight of the teacher's logits in the fine-tuning.")
]
ClassWeights = Annotated[
    str,
    Meta(
        description="balanced: in the fine-tuning, an image of a class with few images counts for more; or none. In a "
        "search for --evaluator library."
    ),
]
Augment = Annotated[
    str,
    Meta(
        description="Changes to training images: none, shift (moved or cropped), flip (mirrored too) or rand (and "
        "RandAugment). By default the recipe's, mirrored where a check on validation images allows it; short "
        "trainings of a search: none."
    ),
]
MeasureFinalists = Annotated[
    str,
    Meta(
        description="With a block library: the device to measure finalists on (local, adb, ssh:HOST), so that the "
        "winner is within the budget as measured; none; or auto: the table's, if that is this machine."
    ),
]
BenchmarkBinary = Annotated[
    str,
    Meta(description="With --measure-finalists adb: the benchmark_model that the phone's table was measured with."),
]
Wait = Annotated[
    float,
    Meta(
        ge=0,
        le=10_080,
        description="Minutes to wait for the device of --measure-finalists if it is gone, instead of ending at once.",
    ),
]
FinalSteps = Annotated[int, Meta(ge=1, description="Training steps of a finalist.")]
ScoreDtype = Annotated[str, Meta(description="int8: finalists are quantised and scored as integer files.")]
MaxTrainImages = Annotated[int, Meta(ge=1, description="Use at most this many training images.")]
RetrainSeeds = Annotated[
    int, Meta(ge=0, description="Retrainings of both winners with new seeds, to compare with random search.")
]
Baseline = Annotated[bool, Meta(description="Also run random search at equal cost, and compare.")]
Seed = Annotated[int, Meta(ge=0, description="The same seed gives the same search.")]
Threads = Annotated[
    int, Meta(ge=0, le=1024, description="Threads of each evaluation; by default the CPUs are shared out.")
]


@dataclass(frozen=True, kw_only=True)
class SearchOptions:
    """The options of a search, as plain data; the fields' types describe them.

    Attributes:
        budget_ms: one for each table, in the order of `table`.
        strategy: as in `mnas.strategies.registry.make_strategy`.
        evaluator: as in `mnas.evaluators.registry`.
        retrain_seeds: below 2, both winners are not retrained.
        threads: 0 for all CPUs. Part of the search, because results depend on it in the last bits.
    """

    space: Space = DEFAULT_SPACE
    table: Tables = ()
    budget_ms: BudgetsMs = ()
    max_size_mb: MaxSizeMb | None = None
    max_memory_mb: MaxMemoryMb | None = None
    data: Data | None = None
    teacher: TeacherName | None = None
    library: LibraryFolder | None = None
    strategy: StrategyName = "reinforce"
    evaluator: EvaluatorName = AUTO
    reward: RewardName = "absolute"
    beta: Beta | None = None
    trials: Trials = 100
    batch: Batch = 10
    finalists: Finalists = 3
    proxy_steps: ProxySteps = 200
    proxy_batch: ProxyBatch = 64
    rungs: Rungs = 1
    evaluation_minutes: EvaluationMinutes | None = None
    predictor_samples: PredictorSamples = 32
    final_steps: FinalSteps = 1000
    confirmed: Confirmed = 16
    final_epochs: FinalEpochs | None = None
    distill: Distill = 0.5
    class_weights: ClassWeights = "none"
    augment: Augment | None = None
    measure_finalists: MeasureFinalists = AUTO
    benchmark_binary: BenchmarkBinary | None = None
    wait: Wait = 0.0
    score_dtype: ScoreDtype = "float32"
    max_train_images: MaxTrainImages | None = None
    retrain_seeds: RetrainSeeds = 3
    baseline: Baseline = True
    seed: Seed = 0
    threads: Threads = 0

    def __post_init__(self) -> None:
        """Check all that can be checked without loading anything."""
        from mnas.strategies.registry import check_strategy

        check_fields(self)
        if self.evaluator == AUTO:
            object.__setattr__(self, "evaluator", "library" if self.teacher or self.library else "proxy")
        if self.evaluator == "library" and self.space == DEFAULT_SPACE:
            object.__setattr__(self, "space", OWN_SPACE)
        check_strategy(self.strategy)
        check_choice("--score-dtype", self.score_dtype, ("float32", "int8"))
        check_choice("--class-weights", self.class_weights, CLASS_WEIGHTS)
        _check_augment(self)
        _check_evaluator(self)
        _check_reward(self)
        if len(self.table) != len(self.budget_ms):
            raise InputError(
                f"{len(self.table)} latency tables and {len(self.budget_ms)} budgets: "
                "expected one --budget-ms for each --table"
            )

    @property
    def trains(self) -> bool:
        """Whether the evaluator trains networks here."""
        return find_evaluator(self.evaluator).trains

    @property
    def full_trainings(self) -> bool:
        """Whether most of the time goes into full trainings, of a teacher and finalists, instead of short ones."""
        return self.evaluator == "library"

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, as a study keeps them."""
        return {_NAMES_IN_FILES.get(name, name): value for name, value in asdict(self).items()}

    @staticmethod
    def from_dict(data: Mapping[str, Any], /, **changes: Any) -> SearchOptions:
        """The inverse of `to_dict`; other names are ignored.

        Args:
            data: as `to_dict` returns them.
            changes: options to change.

        Raises:
            InputError: for a value out of range, or options that cannot be combined.
        """
        kept = {_NAMES_IN_OPTIONS.get(name, name): value for name, value in data.items()}
        known = {name: value for name, value in kept.items() if name in SearchOptions.__dataclass_fields__}
        if isinstance(known.get("data"), str):
            known["data"] = find_again(known["data"], kept.get(DATA_PATH))
        return SearchOptions(**{**known, **changes})

    @staticmethod
    def of(study: Study) -> SearchOptions:
        """Return the options of a study.

        Raises:
            InputError: if it has none, or they are out of range.
        """
        if not set(study.arguments) & {_NAMES_IN_FILES.get(name, name) for name in SearchOptions.__dataclass_fields__}:
            raise InputError(f"{study.folder}/study.json does not contain the options of its search")
        return SearchOptions.from_dict(study.arguments)


def changed_options(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return a study's options that differ from the defaults, by their present names; without removed ones."""
    defaults = SearchOptions.__dataclass_fields__
    changed = {}
    for name, value in arguments.items():
        if name in (*REMOVED_OPTIONS, DATA_PATH, PATHS):
            continue
        option = _NAMES_IN_OPTIONS.get(name, name)
        default = defaults[option].default if option in defaults else None
        if value is not None and value != (list(default) if isinstance(default, tuple) else default):
            changed[option] = value
    return changed


def _check_augment(options: SearchOptions) -> None:
    if options.augment is None:
        return
    check_augment(options.augment)
    if not find_evaluator(options.evaluator).trains:
        raise InputError(
            f"--augment {options.augment} is for evaluators that train, and the evaluator is {options.evaluator}: "
            "leave it out"
        )
    if options.augment == "rand" and options.evaluator != "library":
        raise InputError(
            f"--augment rand is for full trainings, and the evaluator {options.evaluator} trains shortly: search with "
            "none, shift or flip, and give it to mnas train with the winner"
        )


def _check_evaluator(options: SearchOptions) -> None:
    entry = find_evaluator(options.evaluator)
    given = [name for name in ("teacher", "library") if getattr(options, name) is not None]
    if options.evaluator == "library" and not given:
        raise InputError(
            "--evaluator library needs --teacher, such as --teacher efficientnet-lite0, or the --library made from one"
        )
    if options.evaluator != "library" and given:
        raise InputError(
            f"--{given[0]} is for --evaluator library, and the evaluator is {options.evaluator}: leave out one of them"
        )
    if entry.trains and options.data is None and options.evaluator != "library":
        raise InputError(f"--evaluator {options.evaluator} needs --data: {_DATA}")
    if options.score_dtype == "int8" and not entry.trains:
        name = options.evaluator.partition(":")[0]
        raise InputError(f"--score-dtype int8 quantises trained finalists: the evaluator {name} has none")
    if options.score_dtype == "int8" and options.evaluator == "library":
        raise InputError(
            "--score-dtype int8 is for the evaluators proxy and predictor: those of a block library are scored in "
            "float32. Leave it out; mnas export quantises the winner and reports its accuracy"
        )
    if options.class_weights != "none" and options.evaluator != "library":
        raise InputError(
            f"--class-weights {options.class_weights} is for the fine-tuning of --evaluator library, and the evaluator "
            f"is {options.evaluator}: leave it out, and give it to mnas train with the winner"
        )
    if entry.preparation is not None and options.evaluation_minutes is not None:
        raise InputError(
            f"a {options.evaluator} scores every candidate in the same short time: leave out --evaluation-minutes"
        )


def _check_reward(options: SearchOptions) -> None:
    from mnas.strategies.registry import SCORED_STRATEGIES

    if options.strategy not in SCORED_STRATEGIES:
        return
    if options.reward in ("soft", "hard"):
        given = f"--reward is {options.reward}"
    elif options.beta is not None:
        given = f"--beta is {options.beta:g}"
    else:
        return
    raise InputError(
        f"{given} and the strategy {options.strategy} maximises the accuracy within the budgets, not a reward: "
        "leave it out, or take another --strategy"
    )
