"""What an evaluation found, and one attempt of a search."""

from __future__ import annotations

from dataclasses import dataclass, fields
from numbers import Real
from typing import Any

from mnas.arch.codec import architecture_from_dict, architecture_to_dict
from mnas.arch.spec import Architecture
from mnas.checks import check_integer, check_number
from mnas.errors import InputError


def _plain(value: Any) -> Any:
    """NumPy's numbers become Python's; anything else is left to be refused."""
    return value if type(value) in (int, float, bool) or not isinstance(value, Real) else float(value)


@dataclass(frozen=True, slots=True)
class Measurement:
    """What an evaluation found.

    Attributes:
        accuracy: on data the candidate was not trained on, 0 to 1.
        latencies_ms: one a latency table, in the order of the study's tables; empty without a table.
        params: trainable parameters.
        madds: multiply-adds of one image.
        rungs: the accuracy at every rung of the training that was reached, the last one being `accuracy`; empty where
            the evaluator has none. Fewer than the evaluator has: it was stopped early.
    """

    accuracy: float
    latencies_ms: tuple[float, ...]
    params: int
    madds: int
    rungs: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "accuracy", _plain(self.accuracy))
        object.__setattr__(self, "latencies_ms", tuple(_plain(latency) for latency in self.latencies_ms))
        object.__setattr__(self, "rungs", tuple(_plain(accuracy) for accuracy in self.rungs))
        for accuracy in (self.accuracy, *self.rungs):
            check_number("accuracy", accuracy, 0, 1)
        for latency in self.latencies_ms:
            if type(latency) not in (int, float) or not 0 < latency <= 1e9:
                raise InputError(f"latency is {str(latency)[:40]} ms: expected a positive number")
        check_integer("params", self.params, 0, 10**18)
        check_integer("madds", self.madds, 0, 10**18)

    @property
    def latency_ms(self) -> float | None:
        """The latency on the first device, None without a table."""
        return self.latencies_ms[0] if self.latencies_ms else None


@dataclass(frozen=True, slots=True)
class Trial:
    """One attempt of a search: a candidate and what became of it.

    A failed evaluation has an `error` and neither measurement nor reward: it is told to the strategy as failed, and
    never counts as an accuracy of zero. A strategy learns from the reward alone, so a loop of one's own may leave the
    measurement out; a study keeps both.
    """

    number: int
    architecture: Architecture
    measurement: Measurement | None = None
    reward: float | None = None
    terms: tuple[tuple[str, float], ...] = ()
    error: str | None = None
    seconds: float = 0.0

    def __post_init__(self) -> None:
        check_integer("number", self.number, 0, 10**9)
        check_number("seconds", self.seconds, 0, 1e9)
        object.__setattr__(self, "reward", _plain(self.reward))
        if self.measurement is not None and self.reward is None:
            raise InputError(f"trial {self.number} has a measurement and no reward: expected both")
        if self.reward is not None and self.error is not None:
            raise InputError(f"trial {self.number} has a reward and an error: expected one of them")
        if not isinstance(self.error, str | None):
            raise InputError(f"the error of trial {self.number} is no text")
        for name, value in (("reward", self.reward), *self.terms):
            check_number(str(name)[:40], 0 if value is None else value, -1e12, 1e12)

    @property
    def failed(self) -> bool:
        """Whether there is nothing to learn from but the failure."""
        return self.reward is None

    def to_dict(self) -> dict[str, Any]:
        """Plain data, ready for one line of JSON."""
        found = self.measurement
        return {
            "number": self.number,
            "architecture": architecture_to_dict(self.architecture),
            "measurement": found
            and {
                "accuracy": found.accuracy,
                "latencies_ms": list(found.latencies_ms),
                "params": found.params,
                "madds": found.madds,
                "rungs": list(found.rungs),
            },
            "reward": self.reward,
            "terms": dict(self.terms),
            "error": self.error,
            "seconds": self.seconds,
        }

    @staticmethod
    def from_dict(data: Any) -> Trial:
        """The inverse of `to_dict`.

        Raises:
            InputError: if this is no trial.
        """
        try:
            unknown = sorted(set(data) - {field.name for field in fields(Trial)})
            if unknown:
                raise InputError(f"not a trial: it has unknown fields {', '.join(unknown)[:200]}")
            found = data["measurement"]
            if (found is None) != (data["reward"] is None):
                raise InputError("not a trial: it has one of measurement and reward, expected both or neither")
            for name in ("latencies_ms", "rungs"):
                if found is not None and not isinstance(found.get(name, []), list):
                    raise InputError(f"not a trial: its {name} are no list")
            return Trial(
                number=data["number"],
                architecture=architecture_from_dict(data["architecture"]),
                measurement=None if found is None else Measurement(**found),
                reward=data["reward"],
                terms=tuple(data["terms"].items()),
                error=data["error"],
                seconds=data["seconds"],
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise InputError(f"not a trial: {error}") from None
