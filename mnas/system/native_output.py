"""The one place where the chatter of native libraries is kept from the user. `mnas --debug` lets it through."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import tempfile
from collections.abc import Callable, Iterator

_log = logging.getLogger(__name__)


def debugging() -> bool:
    """Whether the user asked to see everything."""
    return bool(os.environ.get("MNAS_DEBUG"))


@contextlib.contextmanager
def quiet() -> Iterator[Callable[[], str]]:
    """Redirect the file descriptors of stdout and stderr: what C++ prints can be caught nowhere else.

    Yields:
        A function that gives what was printed so far.
    """
    if debugging():
        yield lambda: ""
        return
    with tempfile.TemporaryFile() as sink:

        def printed() -> str:
            sink.seek(0)
            return sink.read().decode(errors="replace")

        kept = [(number, os.dup(number)) for number in (1, 2)]
        _flush()
        try:
            for number, _ in kept:
                os.dup2(sink.fileno(), number)
            yield printed
        finally:
            _flush()
            for number, copy in kept:
                os.dup2(copy, number)
                os.close(copy)
            _log.debug("kept from the user:\n%s", printed())


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()


def load_tensorflow(*, threads: int = 0) -> None:
    """Import TensorFlow and start its runtime without the lines it prints then. For programs, not for libraries.

    Args:
        threads: how many it computes with, 0 for all CPUs. Sums are split among threads, so that results are equal to
            the last bit only with equal numbers of them.
    """
    if not debugging():
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        logging.getLogger("tensorflow").setLevel(logging.ERROR)  # its advice on retracing is not for mnas's users
    with quiet():
        import keras  # noqa: F401
        import tensorflow as tf

        if threads:
            tf.config.threading.set_intra_op_parallelism_threads(threads)
            tf.config.threading.set_inter_op_parallelism_threads(threads)
        tf.config.list_logical_devices()
