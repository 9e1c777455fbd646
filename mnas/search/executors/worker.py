"""The other end of a parallel search: makes the same objectives from the same options, and judges what it is sent.

Between processes goes JSON and nothing else. As a program it reads requests from stdin, one a line, and answers on
stdout: `python -m mnas.search.executors.worker`. On a Ray cluster an actor holds a `Worker`.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pkgutil import resolve_name
from typing import Any

from mnas.arch.codec import architecture_from_dict, architecture_to_dict
from mnas.arch.spec import Architecture
from mnas.errors import MnasError
from mnas.search.objective import Objective
from mnas.study.study import first_difference
from mnas.system.child import open_answers
from mnas.system.logs import set_up_logging
from mnas.system.native_output import debugging

Objectives = Mapping[str, Objective]


@dataclass(frozen=True)
class Job:
    """What workers are for.

    Attributes:
        make: `module:function` of this program, never of a file: from `arguments` to objectives by name and a
            plain document that says what they are made from.
        arguments: plain data.
        made_from: that document here; a worker with another table or other data must not evaluate.
    """

    make: str
    arguments: dict[str, Any]
    fingerprint: Any

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {"make": self.make, "arguments": self.arguments, "made_from": self.fingerprint}


class Worker:
    """Judges candidates for somebody else.

    Args:
        job: a `Job` as plain data.

    Raises:
        MnasError: if tables or data here are not those of the search.
    """

    def __init__(self, job: dict[str, Any]) -> None:
        make: Callable[[dict[str, Any]], tuple[Objectives, Any]] = resolve_name(job["make"])
        self._objectives, fingerprint = make(job["arguments"])
        difference = first_difference(job["made_from"], json.loads(json.dumps(fingerprint)))
        if difference:
            raise MnasError(f"a worker has other tables or data than the search: {difference}")

    def evaluate(self, request: dict[str, Any]) -> dict[str, Any]:
        """A trial as plain data, from a request as `make_request` writes it."""
        objective = replace(self._objectives[request["objective"]], **request["changes"])
        return objective.evaluate(request["number"], architecture_from_dict(request["architecture"])).to_dict()


def make_request(known: Objectives, objective: Objective, number: int, architecture: Architecture) -> dict[str, Any]:
    """What to ask a worker.

    Args:
        known: the objectives that workers have too.
        objective: one of them, or one of them with fields changed that are plain data.
        number: of the trial.
        architecture: to judge.
    """
    name = next(name for name, each in known.items() if each.evaluator is objective.evaluator)
    changes = {
        each.name: getattr(objective, each.name)
        for each in fields(objective)
        if getattr(objective, each.name) is not getattr(known[name], each.name)
    }
    plain = architecture_to_dict(architecture)
    return {"objective": name, "changes": changes, "number": number, "architecture": plain}


def main(arguments: Sequence[str] = ()) -> None:
    """Serve one parent over stdin and stdout until it closes them."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's business
    answer = open_answers()
    set_up_logging(debug=debugging())
    try:
        worker = Worker(json.loads(sys.stdin.readline()))
    except Exception as error:
        answer({"failed": f"{error}" if isinstance(error, MnasError) else f"{type(error).__name__}: {error}"})
        return
    try:
        answer({"ready": os.getpid()})
        for line in sys.stdin:
            answer({"trial": worker.evaluate(json.loads(line))})
    except BrokenPipeError:  # the parent is gone
        os._exit(1)


if __name__ == "__main__":
    main()
