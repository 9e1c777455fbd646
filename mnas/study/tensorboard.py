"""Scalars for TensorBoard during a search, written by the `tensorboard` package without TensorFlow."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from mnas.errors import MnasError
from mnas.study.observer import Observer
from mnas.trial import Trial


class ScalarLog(Observer):
    """Writes one event file for each phase of the search; use as a context manager.

    A resumed search repeats its finished trials. So a new file starts with an event that makes TensorBoard discard the
    same steps of older files in the folder.

    Args:
        folder: for `tensorboard --logdir`; each phase is a run in it.

    Raises:
        MnasError: if tensorboard is not installed, or the folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writers: dict[str, Any] = {}
        _proto()

    def __enter__(self) -> ScalarLog:
        return self

    def __exit__(self, *exception: object) -> None:
        for writer in self._writers.values():
            writer.close()

    def on_trial(self, phase: str, trial: Trial) -> None:
        """Write a finished trial: reward, its terms, accuracy, predicted latencies, parameters, multiply-adds."""
        found = trial.measurement
        values = {"failed": float(trial.failed)}
        if found is not None:
            values |= {"accuracy": found.accuracy, "cost/params": found.params, "cost/madds": found.madds}
            values |= {f"latency_ms/table_{n}": latency for n, latency in enumerate(found.latencies_ms, start=1)}
        if trial.reward is not None:
            values["reward"] = trial.reward
        self._write(phase, trial.number, values | {f"terms/{name}": value for name, value in trial.terms})

    def on_update(self, phase: str, num_trials: int, diagnostics: dict[str, float]) -> None:
        """Write the strategy's diagnostics, such as its entropy."""
        self._write(phase, num_trials, {f"strategy/{name}": value for name, value in diagnostics.items()})

    def _write(self, phase: str, step: int, values: dict[str, float]) -> None:
        if not values:
            return
        event, summary, _ = _proto()
        scalars = [summary.Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]
        message = event.Event(wall_time=time.time(), step=step, summary=summary.Summary(value=scalars))
        try:
            writer = self._writer(phase)
            writer.write(message.SerializeToString())
            writer.flush()
        except OSError as error:
            raise MnasError(f"cannot write scalars into {self._folder}: {error.strerror or error}") from None

    def _writer(self, phase: str) -> Any:
        if phase not in self._writers:
            event, _, record_writer = _proto()
            folder = self._folder / phase
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / f"events.out.tfevents.{time.time_ns()}.{os.getpid()}"
            writer = record_writer.RecordWriter(open(path, "wb"))  # noqa: SIM115 - closed on exit
            forget = event.SessionLog(status=event.SessionLog.START)
            for first in (event.Event(file_version="brain.Event:2"), event.Event(step=0, session_log=forget)):
                first.wall_time = time.time()
                writer.write(first.SerializeToString())
            self._writers[phase] = writer
        return self._writers[phase]


def _proto() -> tuple[Any, Any, Any]:
    try:
        from tensorboard.compat.proto import event_pb2, summary_pb2
        from tensorboard.summary.writer import record_writer
    except ImportError:
        raise MnasError(
            "--tensorboard needs tensorboard, which is not installed: pip install 'mnas[tensorboard]'"
        ) from None
    return event_pb2, summary_pb2, record_writer
