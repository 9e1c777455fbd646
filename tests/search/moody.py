"""Objectives for workers under test whose evaluator hangs, dies or fails, as the architecture is.

`arguments`: `folder` for a file per rung that was passed, `seconds` that one of `finals` takes, `licence` whether it
can be made, and `curious` whether accuracies say if PYTHONSAFEPATH is set.
"""

import ctypes
import os
import time
from pathlib import Path

from mnas.arch.zoo import zoo
from mnas.errors import MnasError
from mnas.evaluators.base import Evaluator
from mnas.reward import make_reward
from mnas.search.objective import Objective

GOOD, SLOW, DEAD, WRONG, HUNG = (
    zoo(name) for name in ("mnasnet-a1", "mnasnet-b1", "mnasnet-small", "mobilenet-v2", "efficientnet-b0")
)


class Moody(Evaluator):
    num_rungs = 3

    def __init__(self, folder=None, seconds=0.0, curious=False):
        self.folder, self.seconds, self.curious = folder and Path(folder), seconds, curious

    def accuracy(self, architecture):
        return list(self.rungs(architecture))[-1]

    def rungs(self, architecture):
        if architecture == SLOW:
            time.sleep(600)
        if architecture == HUNG:
            ctypes.PyDLL(None).sleep(600)  # native code that never lets another thread of Python run
        if architecture == DEAD:
            os._exit(7)
        if architecture == WRONG:
            raise RuntimeError("out of order")
        time.sleep(self.seconds)
        for rung in range(3):
            yield float("PYTHONSAFEPATH" in os.environ) if self.curious else 0.25 * (rung + 1)
            if self.folder:
                (self.folder / f"went-past-{rung}").touch()

    def describe(self):
        return {"name": "moody"}


def make(arguments):
    if not arguments.pop("licence", True):
        raise MnasError("no licence")
    reward, seconds = make_reward("absolute"), arguments.pop("seconds", 0.0)
    evaluators = {"search": Moody(**arguments), "finals": Moody(**arguments, seconds=seconds)}
    return {name: Objective(evaluator, reward) for name, evaluator in evaluators.items()}, {"made": "here"}
