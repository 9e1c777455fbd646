"""The worker of a library's build: trains alternatives of one stage after the other.

As a program, `python -m mnas.library.stage_worker`, it reads one request from each line of stdin and answers on stdout,
once per alternative. On a Ray cluster an actor holds a `StageWorker`.
"""

from __future__ import annotations

import json
import math
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mnas.arch.codec import architecture_from_dict
from mnas.arch.spec import Architecture
from mnas.arch.walk import layers, place, unroll
from mnas.errors import InputError, MnasError
from mnas.library.alternatives import Alternative, write_alternative
from mnas.library.options import LibraryOptions
from mnas.library.transfer import transfer_weights
from mnas.random_streams import Stream, generator
from mnas.space.space import SearchSpace
from mnas.system.arrays import read_arrays
from mnas.system.child import open_answers
from mnas.system.logs import set_up_logging
from mnas.system.native_output import debugging, load_tensorflow

if TYPE_CHECKING:
    from mnas.library.block_training import BlockTraining

_STATISTICS_BATCHES = 8  # of training images: for batch-norm statistics, and the variance of the teacher's outputs
_Held = dict[int, tuple[Any, Any]]  # input and output of the teacher's block, by the batch's number


class StageWorker:
    """Trains alternatives. The result depends on the job alone, not on the order of requests.

    Args:
        job: `teacher` (an architecture as plain data), `weights` and `images` (arrays, or files with them), `space` and
            `options` as plain data, `num_held_out` (how many batches of images at the end are not trained on),
            `max_memory_mb`.
    """

    def __init__(self, job: dict[str, Any]) -> None:
        load_tensorflow(threads=1, onednn=False)  # sums that are split among threads would depend on their number
        from mnas.library.activations import Activations, TeacherNetwork

        self._space = SearchSpace.from_dict(job["space"])
        self._options = LibraryOptions(**job["options"])
        teacher: Architecture = architecture_from_dict(job["teacher"])
        self._placed = unroll(teacher)
        weights, images, size = job["weights"], job["images"], self._options.batch_size
        if isinstance(weights, str):
            weights = list(read_arrays(Path(weights)).values())
        self._teacher = TeacherNetwork(teacher, weights)
        images = np.load(images, mmap_mode="r", allow_pickle=False) if isinstance(images, str) else images
        batches = [images[start : start + size] for start in range(0, len(images), size)]
        self._num_training: int = len(batches) - job["num_held_out"]
        self._held_out = list(range(self._num_training, len(batches)))
        self._statistics = list(range(min(_STATISTICS_BATCHES, self._num_training)))
        self._max_bytes = int(job["max_memory_mb"] * 1e6)
        self._activations = Activations(self._teacher, batches)

    def train_stage(self, stage: int, choices: Sequence[int]) -> Iterator[Alternative]:
        """Train alternatives of one stage and yield them as they finish.

        All activations of the stage are kept if they fit into the memory. Otherwise the steps are done in parts, and
        the activations of each part are computed again from the images; the result is the same.

        Args:
            stage: its number, from 0.
            choices: indices of the alternatives.

        Raises:
            InputError: if the memory is too small.
            MnasError: if a training diverges.
        """
        at, ends = stage + 1, [*self._statistics, *self._held_out]
        fitting = self._fitting(at, len(ends))
        whole = fitting >= self._num_training + len(self._held_out)
        first = self._activations.hold(at, [*range(self._num_training), *ends] if whole else ends)
        scale = 1 / max(float(np.var([first[number][1] for number in self._statistics])), 1e-12)
        trainings = [self._begin(stage, choice, scale) for choice in choices]
        if not whole:
            del first  # before others are held: the memory is for one part
            for start in range(0, self._options.steps, fitting):
                self._train_part(trainings, at, range(start, min(start + fitting, self._options.steps)))
            first = self._activations.hold(at, ends)
        for each in trainings:
            if whole:
                self._train(each, range(self._options.steps), first)
            yield self._finish(each, first, scale)

    def _batch(self, step: int) -> int:
        return int(step % self._num_training)

    def _fitting(self, at: int, num_ends: int) -> int:
        """The number of batches whose activations fit into the memory."""
        each = self._activations.batch_bytes(at)
        fitting = int(self._max_bytes // each)
        if fitting < num_ends:
            needed = num_ends * each / 1e6
            raise InputError(
                f"the activations of block {at} take at least {needed:,.3g} MB, and a worker has "
                f"{self._max_bytes / 1e6:,.3g} MB: allow more with --max-memory-mb, which all workers share, or use "
                "fewer --workers, or a smaller resolution"
            )
        return fitting

    def _begin(self, stage: int, choice: int, scale: float) -> _Training:
        """Start an alternative from the teacher's block; the teacher's own and the identity are not trained."""
        from mnas.library.block_training import BlockTraining
        from mnas.nn.functional import Block

        block = self._space.stages[stage].stage((self._space.stages[stage].decisions[0].choices[choice],)).block
        own = self._placed[stage + 1]
        placed = place(block, own.in_size, own.in_filters, own.activation)
        arrays = self._teacher.arrays[stage + 1]
        if placed == own:
            return _Training(stage, choice, arrays=arrays, loss=0.0)
        if placed.is_nothing:
            return _Training(stage, choice)
        rng = generator(self._options.seed, Stream.LIBRARY_WEIGHTS, stage, choice)
        fresh = Block(layers(placed))
        weights, _ = fresh.vectors(transfer_weights(own, arrays, placed, rng))
        return _Training(stage, choice, BlockTraining(fresh, weights, self._options, scale))

    def _train(self, training: _Training, steps: range, held: _Held) -> None:
        if training.running is None:
            return
        started = time.perf_counter()
        count = images_per_step(self._options.batch_size, training.running.block.layers[0].in_size)
        for step in steps:
            x, target = held[self._batch(step)]
            training.running.step(step, x[:count], target[:count])
        training.seconds += time.perf_counter() - started

    def _train_part(self, trainings: Sequence[_Training], at: int, steps: range) -> None:
        held = self._activations.hold(at, [self._batch(step) for step in steps])
        for each in trainings:
            self._train(each, steps, held)

    def _finish(self, training: _Training, held: _Held, scale: float) -> Alternative:
        """Recompute the batch-norm statistics and the loss on held-out activations."""
        arrays, loss = training.arrays, training.loss
        started = time.perf_counter()
        pairs = [held[number] for number in self._held_out]
        if training.running is not None:
            block = training.running.block
            weights, statistics = training.running.finish([held[number][0] for number in self._statistics])
            arrays = [array for own in block.layer_arrays(weights, statistics) for array in own]
            pairs = [(block.infer(weights, statistics, x), target) for x, target in pairs]
        if loss is None:
            squares = sum(float(np.sum(np.square(np.subtract(x, y)), dtype=np.float64)) for x, y in pairs)
            loss = scale * squares / sum(int(np.size(y)) for _, y in pairs)
        if not math.isfinite(loss):
            raise MnasError("the training of a block diverged: try a smaller learning rate")
        seconds = training.seconds + time.perf_counter() - started
        return Alternative(training.stage, training.choice, arrays, loss, seconds)


def images_per_step(batch_size: int, in_size: int) -> int:
    """Return how many images of a batch a step takes: a quarter at least, all of them up to 16 pixels a side.

    Every pixel is an example for a convolution: large activations teach as well with fewer images, four times as fast.
    """
    return max(batch_size // 4, min(batch_size, batch_size * 256 // in_size**2), 2)


@dataclass
class _Training:
    """An alternative in training; without `running` there is nothing to train."""

    stage: int
    choice: int
    running: BlockTraining | None = None
    arrays: Sequence[npt.NDArray[np.float32]] = ()
    loss: float | None = None
    seconds: float = 0.0


def main() -> None:
    """Serve one parent over stdin and stdout until it closes them; alternatives are written to the library here."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C
    answer = open_answers()
    set_up_logging(debug=debugging())
    try:
        job = json.loads(sys.stdin.readline())
        worker = StageWorker(job)
        answer({"ready": True})
        for line in sys.stdin:
            request = json.loads(line)
            for done in worker.train_stage(request["stage"], request["choices"]):
                write_alternative(Path(job["folder"]), done, job["fingerprint"])
                answer({"choice": done.choice, "loss": done.loss, "seconds": done.seconds})
    except BrokenPipeError:  # the parent is gone
        return
    except Exception as error:
        answer({"failed": f"{error}" if isinstance(error, MnasError) else f"{type(error).__name__}: {error}"})


if __name__ == "__main__":
    main()
