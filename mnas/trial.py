"""The result of an evaluation, and one trial of a search."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from numbers import Real
from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Meta, Struct

from mnas.arch.codec import architecture_from_dict, architecture_to_dict
from mnas.checks import AnyText, Number, Share, check_fields, convert
from mnas.errors import InputError

if TYPE_CHECKING:
    from mnas.arch.spec import Architecture
else:
    Architecture = Any  # a user's own loop may search something else, such as a benchmark's codes

Latency = Annotated[
    Annotated[int, Meta(gt=0, le=10**9)] | Annotated[float, Meta(gt=0, le=1e9)],
    Meta(title="a positive number of milliseconds"),
]
Count = Annotated[int, Meta(ge=0, le=10**18)]
TrialNumber = Annotated[int, Meta(ge=0, le=10**9)]
Seconds = Annotated[int, Meta(ge=0, le=10**9)] | Annotated[float, Meta(ge=0, le=1e9)]


def _plain(value: Any) -> Any:
    """Convert NumPy's numbers to Python's; `check_fields` rejects anything else."""
    return value if type(value) in (int, float, bool) or not isinstance(value, Real) else float(value)


@dataclass(frozen=True, slots=True)
class Measurement:
    """The result of an evaluation.

    Attributes:
        accuracy: on data the candidate was not trained on, 0 to 1.
        latencies_ms: one for each latency table, in the order of the study's tables; empty without a table.
        params: trainable parameters.
        madds: multiply-adds of one image.
        rungs: the accuracy at each rung that the training reached; the last one is `accuracy`. Empty if the evaluator
            has no rungs, shorter than the evaluator's if the training was stopped early.
    """

    accuracy: Share
    latencies_ms: tuple[Latency, ...]
    params: Count
    madds: Count
    rungs: tuple[Share, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "accuracy", _plain(self.accuracy))
        object.__setattr__(self, "latencies_ms", tuple(_plain(latency) for latency in self.latencies_ms))
        object.__setattr__(self, "rungs", tuple(_plain(accuracy) for accuracy in self.rungs))
        check_fields(self)

    @property
    def latency_ms(self) -> float | None:
        """The latency by the first table; None without a table."""
        return self.latencies_ms[0] if self.latencies_ms else None


@dataclass(frozen=True, slots=True)
class Trial:
    """One candidate of a search with its result.

    A failed evaluation has an `error` and neither measurement nor reward: the strategy is told that it failed, and it
    never counts as an accuracy of zero. A strategy learns from the reward alone, so a user's own loop may omit the
    measurement; a study keeps both.
    """

    number: TrialNumber
    architecture: Architecture
    measurement: Measurement | None = None
    reward: float | None = None
    terms: tuple[tuple[AnyText, float], ...] = ()
    error: AnyText | None = None
    seconds: Seconds = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "reward", _plain(self.reward))
        check_fields(self)
        if self.measurement is not None and self.reward is None:
            raise InputError(f"trial {self.number} has a measurement and no reward: expected both")
        if self.reward is not None and self.error is not None:
            raise InputError(f"trial {self.number} has a reward and an error: expected one of them")

    @property
    def failed(self) -> bool:
        """Whether the trial has no reward."""
        return self.reward is None

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for one line of JSON."""
        return {
            "number": self.number,
            "architecture": architecture_to_dict(self.architecture),
            "measurement": self.measurement and asdict(self.measurement),
            "reward": self.reward,
            "terms": dict(self.terms),
            "error": self.error,
            "seconds": self.seconds,
        }

    @staticmethod
    def from_dict(data: Any) -> Trial:
        """The inverse of `to_dict`.

        Raises:
            InputError: if this is not a trial.
        """
        record = convert(data, _Record, "")
        if (record.measurement is None) != (record.reward is None):
            raise InputError("the trial has one of measurement and reward, expected both or neither")
        return Trial(
            number=record.number,
            architecture=architecture_from_dict(record.architecture),
            measurement=record.measurement,
            reward=record.reward,
            terms=tuple(record.terms.items()),
            error=record.error,
            seconds=record.seconds,
        )


class _Record(Struct, frozen=True, forbid_unknown_fields=True):
    """A trial in a file."""

    number: TrialNumber
    architecture: dict[str, Any]
    measurement: Measurement | None
    reward: Number | None
    terms: dict[AnyText, Number]
    error: AnyText | None
    seconds: Seconds
