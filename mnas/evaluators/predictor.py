"""The predictor evaluator: a few architectures are evaluated, and a regression on them predicts all candidates.

Once, before the first candidate: a first round of random architectures, then rounds of those with the highest
prediction so far (mean plus one standard deviation, as in Bayesian optimisation; White et al. 2021, "BANANAS", found
rounds better than the same number of random samples). After that a candidate costs a millisecond.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from msgspec import Meta, Struct

from mnas.arch.spec import Architecture
from mnas.checks import Share, check_fields, check_integer, convert
from mnas.errors import InputError, MnasError
from mnas.evaluators.accuracy_regression import LEAST, Regression, features, held_out
from mnas.evaluators.base import Evaluator, OnProgress
from mnas.random_streams import Stream, generator
from mnas.space.space import SearchSpace
from mnas.statistics import kendall_tau
from mnas.system.files import is_document, read_json, write_json

if TYPE_CHECKING:
    from mnas.evaluators.registry import EvaluatorRequest

_LOGGER = logging.getLogger(__name__)
FORMAT, VERSION = "mnas.predictor", 1
_MAX_REJECTIONS = 1000
_PARENTS = 5  # best samples so far, whose mutations are the candidates of later rounds
_MUTATIONS = 4  # at most
_WEAK = 0.2  # rank correlation on held-out samples below which to warn

Sample = tuple[tuple[int, ...], float | None]  # indices and accuracy; None where the training failed


class _Sample(Struct, frozen=True):
    indices: tuple[Annotated[int, Meta(ge=0)], ...]
    accuracy: Share | None


class _Document(Struct, frozen=True):
    samples: tuple[_Sample, ...]


@dataclass(frozen=True, slots=True)
class PredictorRecipe:
    """How the predictor samples a space.

    Attributes:
        samples: architectures to evaluate, including those that fail.
        rounds: number of rounds; in the first all samples are random.
        pool: number of candidates that each later round chooses from.
        seed: of the samples.
    """

    samples: Annotated[int, Meta(ge=LEAST, le=100_000)] = 32
    rounds: Annotated[int, Meta(ge=1)] = 3
    pool: Annotated[int, Meta(ge=1, le=1_000_000)] = 400
    seed: Annotated[int, Meta(ge=0, le=10**18)] = 0

    def __post_init__(self) -> None:
        try:
            check_fields(self)
            check_integer("rounds", self.rounds, 1, self.samples)
        except InputError as error:
            raise InputError(f"the predictor's {error}") from None

    @property
    def first(self) -> int:
        """The number of samples in the first round: half of them, or all."""
        return self.samples if self.rounds == 1 else max(LEAST, (self.samples + 1) // 2)

    def starts(self) -> list[int]:
        """The number of the first sample of every round but the first."""
        left = self.samples - self.first
        return [self.first + left * number // (self.rounds - 1) for number in range(self.rounds - 1)] if left else []


class PredictorEvaluator(Evaluator):
    """Evaluates samples of a space with another evaluator, and predicts the accuracy of all other candidates.

    Args:
        space: the search space.
        inner: evaluates the samples.
        recipe: how to sample.
        feasible: whether an architecture may be a sample, such as one within the latency budget; None accepts all.
        file: where evaluated samples are kept, so that an interrupted preparation resumes; None keeps them in memory.
    """

    def __init__(
        self,
        space: SearchSpace,
        inner: Evaluator,
        recipe: PredictorRecipe,
        *,
        feasible: Callable[[Architecture], bool] | None = None,
        file: Path | None = None,
    ) -> None:
        self.space, self.inner, self.recipe = space, inner, recipe
        self._feasible, self._file = feasible, file
        self._samples: list[Sample] | None = None
        self._regression: Regression | None = None

    def describe(self) -> dict[str, Any]:
        """The recipe, and the evaluator of the samples."""
        return {"kind": "predictor", **asdict(self.recipe), "inner": self.inner.describe()}

    def accuracy(self, architecture: Architecture) -> float:
        """The predicted accuracy, clipped to [0, 1]; raises as `predict`."""
        return float(np.clip(self.predict(architecture)[0], 0, 1))

    def predict(self, architecture: Architecture) -> tuple[float, float]:
        """Mean and standard deviation of the accuracy.

        Raises:
            InputError: if the architecture is not of the space.
            MnasError: if too few samples could be evaluated.
        """
        self.prepare()
        if self._regression is None:
            raise MnasError("the predictor is not fitted")
        mean, deviation = self._regression(features(self.space, architecture)[None])
        return float(mean[0]), float(deviation[0])

    def prepare(self, on_progress: OnProgress = lambda share, what: None) -> None:
        """Evaluate the samples that are not evaluated yet, and fit the regression.

        Raises:
            InputError: if the file's samples are of another space, evaluator or recipe.
            MnasError: if too few samples could be evaluated, or they cannot be read or written.
        """
        if self._regression is not None:
            return
        samples = self._read()
        starts = self.recipe.starts()
        while len(samples) < self.recipe.samples:
            begun = max((start for start in [0, *starts] if start <= len(samples)), default=0)
            end = min((start for start in starts if start > len(samples)), default=self.recipe.samples)
            chosen = self._random(end) if begun == 0 else self._promising(samples[:begun], end - begun)
            for indices in chosen[len(samples) - begun :]:
                samples.append((indices, self._evaluate(indices)))
                self._write(samples)
                on_progress(len(samples) / self.recipe.samples, f"sample {len(samples)} of {self.recipe.samples}")
        self._regression = self._learn(samples)
        self._log_ranking(samples)

    def for_finalists(self, steps: int) -> Evaluator | None:
        """As the inner evaluator does."""
        return self.inner.for_finalists(steps)

    def estimate_preparation_seconds(self) -> float:
        """The inner evaluator's estimate for one sample, times the samples that are not in the file."""
        left = self.recipe.samples - len(self._read())
        return left * self.inner.estimate_seconds(self.space.decode(self._random(1)[0])) if left else 0.0

    def estimate_seconds(self, architecture: Architecture) -> float:
        """The time of computing a candidate's features, which is most of a prediction's."""
        start = time.perf_counter()
        features(self.space, architecture)
        return time.perf_counter() - start

    def _evaluate(self, indices: tuple[int, ...]) -> float | None:
        try:
            return float(self.inner.accuracy(self.space.decode(indices)))
        except Exception as error:  # a user's evaluator may raise anything
            _LOGGER.warning("a sample of the predictor failed and is left out: %s", error)
            return None

    def _learn(self, samples: list[Sample]) -> Regression:
        rows, accuracies = self._observations(samples)
        if len(accuracies) < LEAST:
            raise MnasError(
                f"only {len(accuracies)} of {len(samples)} samples could be evaluated, and a prediction needs {LEAST}: "
                "see the warnings above for the reasons"
            )
        return Regression(rows, accuracies)

    def _observations(self, samples: list[Sample]) -> tuple[Any, list[float]]:
        """Features and accuracies of the samples that did not fail."""
        known = [(indices, accuracy) for indices, accuracy in samples if accuracy is not None]
        return self._rows([indices for indices, _ in known]), [accuracy for _, accuracy in known]

    def _rows(self, chosen: list[tuple[int, ...]]) -> Any:
        return np.array([features(self.space, self.space.decode(indices)) for indices in chosen])

    def _random(self, count: int) -> list[tuple[int, ...]]:
        rng = generator(self.recipe.seed, Stream.PREDICTOR_RANDOM)
        return [self._accepted(lambda: self.space.sample(rng)) for _ in range(count)]

    def _promising(self, before: list[Sample], count: int) -> list[tuple[int, ...]]:
        """Choose mutations of the best samples so far, by mean plus one standard deviation."""
        regression = self._learn(before)
        rng = generator(self.recipe.seed, Stream.PREDICTOR_PROMISING, len(before))
        known = [(accuracy, indices) for indices, accuracy in before if accuracy is not None]
        parents = [self.space.decode(indices) for _, indices in sorted(known, reverse=True)[:_PARENTS]]
        taken = {indices for indices, _ in before}
        pool: dict[tuple[int, ...], None] = {}
        for _ in range(self.recipe.pool):
            indices = self._accepted(lambda: self._mutated(parents[int(rng.integers(len(parents)))], rng))
            if indices not in taken:
                pool[indices] = None
        mean, deviation = regression(self._rows(list(pool))) if pool else (np.zeros(0), np.zeros(0))
        best = [list(pool)[place] for place in np.argsort(-(mean + deviation), kind="stable")[:count]]
        return best + [self._accepted(lambda: self.space.sample(rng)) for _ in range(count - len(best))]

    def _mutated(self, architecture: Architecture, rng: np.random.Generator) -> Architecture:
        if self.space.size > 1:
            for _ in range(int(rng.integers(1, _MUTATIONS + 1))):
                architecture = self.space.mutate(architecture, rng)
        return architecture

    def _accepted(self, draw: Callable[[], Architecture]) -> tuple[int, ...]:
        """Draw until a candidate is feasible; the last one if none is."""
        candidate = draw()
        for _ in range(_MAX_REJECTIONS):
            if self._feasible is None or self._feasible(candidate):
                break
            candidate = draw()
        return self.space.encode(candidate)

    def _log_ranking(self, samples: list[Sample]) -> None:
        rows, accuracies = self._observations(samples)
        if len(accuracies) < 2 * LEAST:
            return
        tau = kendall_tau(held_out(rows, accuracies), accuracies)
        _LOGGER.info("the predictor ranks held-out samples with Kendall tau %.2f", tau)
        if tau < _WEAK:
            _LOGGER.warning(
                "the predictor ranks held-out samples with Kendall tau %.2f only: use more samples "
                "(--predictor-samples) or longer trainings (--proxy-steps)",
                tau,
            )

    def _read(self) -> list[Sample]:
        if self._samples is None:
            self._samples = self._read_file(self._file) if self._file is not None and self._file.exists() else []
        return self._samples

    def _read_file(self, file: Path) -> list[Sample]:
        document = read_json(file, "the samples of a predictor")
        if not is_document(document, FORMAT, VERSION):
            raise MnasError(f"{file} does not hold the samples of a predictor, or is damaged: delete it")
        if document.get("made_of") != self._made_of():
            raise InputError(
                f"the samples in {file} are of another space, evaluator or recipe: delete the file to start again"
            )
        try:
            samples = convert(document, _Document, "").samples
            check_integer("the number of samples", len(samples), 0, self.recipe.samples)
            for sample in samples:
                self.space.decode(sample.indices)
        except InputError as error:
            raise MnasError(f"{file} holds damaged samples of a predictor ({error}): delete it") from None
        return [(sample.indices, sample.accuracy) for sample in samples]

    def _write(self, samples: list[Sample]) -> None:
        if self._file is not None:
            entries = [{"indices": list(indices), "accuracy": accuracy} for indices, accuracy in samples]
            document = {"format": FORMAT, "version": VERSION, "made_of": self._made_of(), "samples": entries}
            write_json(self._file, document)

    def _made_of(self) -> dict[str, Any]:
        return json.loads(json.dumps({"space": self.space.fingerprint, **self.describe()}))  # type: ignore[no-any-return]


def make(request: EvaluatorRequest) -> PredictorEvaluator:
    """Make the evaluator of a search: samples are evaluated by the proxy."""
    from mnas.evaluators.proxy import make as make_proxy

    recipe = PredictorRecipe(samples=request.options["predictor_samples"], seed=request.options["seed"])
    file = None if request.folder is None else request.folder / "predictor.json"
    return PredictorEvaluator(request.space, make_proxy(request), recipe, feasible=request.is_feasible, file=file)
