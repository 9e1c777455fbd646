"""The worker of a parallel search: makes the same objectives from the same options, and evaluates candidates.

Processes exchange only JSON. As a program, `python -m mnas.search.executors.worker`, it reads one request from each
line of stdin and answers on stdout. On a Ray cluster an actor holds a `Worker`.
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
    """The job of a worker.

    Attributes:
        make: `module:function` of this program, never from a file: it makes objectives by name and their fingerprint.
        arguments: of this function, as plain data.
        fingerprint: plain data that identify space, tables and data; a worker with another one must not evaluate.
    """

    make: str
    arguments: dict[str, Any]
    fingerprint: Any

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return {"make": self.make, "arguments": self.arguments, "made_from": self.fingerprint}


class Worker:
    """Evaluates candidates for another process.

    Args:
        job: a `Job` as plain data.

    Raises:
        MnasError: if the tables or data here differ from those of the search.
    """

    def __init__(self, job: dict[str, Any]) -> None:
        make: Callable[[dict[str, Any]], tuple[Objectives, Any]] = resolve_name(job["make"])
        self._objectives, fingerprint = make(job["arguments"])
        difference = first_difference(job["made_from"], json.loads(json.dumps(fingerprint)))
        if difference:
            raise MnasError(f"a worker has other tables or data than the search: {difference}")

    def evaluate(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return a trial as plain data, for a request of `make_request`."""
        objective = replace(self._objectives[request["objective"]], **request["changes"])
        return objective.evaluate(request["number"], architecture_from_dict(request["architecture"])).to_dict()


def make_request(known: Objectives, objective: Objective, number: int, architecture: Architecture) -> dict[str, Any]:
    """Make a worker's request as plain data.

    Args:
        known: the objectives that workers have too.
        objective: one of them, perhaps with changed fields of plain data.
        number: of the trial.
        architecture: of the candidate.
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
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C
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
