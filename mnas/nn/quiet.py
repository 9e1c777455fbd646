"""Silence for libraries that print from C++."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import tempfile
from collections.abc import Callable, Iterator

log = logging.getLogger(__name__)


def load_tensorflow() -> None:
    """Import TensorFlow and Keras and start the runtime, without the dozen lines that they print on the way.

    Commands call it before the first import that needs TensorFlow; libraries need not.
    """
    if os.environ.get("MNAS_DEBUG") != "1":
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with quiet():
        import keras  # noqa: F401
        import tensorflow as tf

        tf.config.list_logical_devices()


@contextlib.contextmanager
def quiet() -> Iterator[Callable[[], str]]:
    """Keep what native libraries print on stdout and stderr away from the user; with MNAS_DEBUG=1 let it through.

    TensorFlow prints on import, its TFLite converter prints hundreds of lines, from C++: only the file descriptors can
    catch them. This is the one place where those are redirected.

    Yields:
        A function that gives what was printed so far.
    """
    if os.environ.get("MNAS_DEBUG") == "1":
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
            log.debug("kept from the user:\n%s", printed())


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
