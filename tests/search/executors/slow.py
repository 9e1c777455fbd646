"""Objectives for workers under test: separable accuracies, and candidates that wait or end their process.

`arguments`: `folder` with a file per evaluation, `seconds` each takes, `deadly` numbers of evaluations (of all workers
together) that end their process, `doomed` the first kernel size whose candidates always do, and `shows` whether files
say which GPUs the process sees, in the place of its number.
"""

import os
import signal
import time
from pathlib import Path

from mnas.evaluators.base import Evaluator
from mnas.evaluators.user_defined import user_defined_evaluator
from mnas.reward import make_reward
from mnas.search.objective import Objective
from tests.spaces import separable, small_space

MAKE = "tests.search.executors.slow:make"


class SlowEvaluator(Evaluator):
    def __init__(self, folder, seconds=0.0, deadly=(), doomed=None, bonus=0.0, shows=False):
        self.folder, self.seconds, self.deadly, self.doomed, self.bonus = Path(folder), seconds, deadly, doomed, bonus
        self.shows = shows
        self.function = separable(small_space())

    def accuracy(self, architecture):
        number = len(list(self.folder.iterdir()))
        who = os.environ.get("CUDA_VISIBLE_DEVICES") if self.shows else os.getpid()
        (self.folder / f"{time.time_ns()}-{who}").touch()
        time.sleep(self.seconds)
        if number in self.deadly or architecture.stages[0].block.kernel_size == self.doomed:
            os.kill(os.getpid(), signal.SIGKILL)
        return 0.9 * self.function(architecture) + self.bonus

    def describe(self):
        return {"name": "slow"}


def make(arguments):
    reward = make_reward("absolute")
    objectives = {
        "search": Objective(SlowEvaluator(**arguments), reward),
        "finals": Objective(SlowEvaluator(**arguments, bonus=0.05), reward),
    }
    return objectives, {"made": "here"}


def make_own(arguments):
    return {"search": Objective(user_defined_evaluator(arguments["name"]), make_reward("absolute"))}, {"made": "here"}
