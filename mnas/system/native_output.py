"""Hiding the output of native libraries; `mnas --debug` shows it."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import sys
import tempfile
from collections.abc import Callable, Iterator

from mnas.errors import InputError

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4  # of glibc's malloc.h
_ONEDNN = "TF_ENABLE_ONEDNN_OPTS"
_log = logging.getLogger(__name__)


def debugging() -> bool:
    """Whether the user runs mnas with --debug."""
    return bool(os.environ.get("MNAS_DEBUG"))


@contextlib.contextmanager
def quiet() -> Iterator[Callable[[], str]]:
    """Capture stdout and stderr by their file descriptors, which is where C++ prints.

    Yields:
        A function that returns the output so far.
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
            _log.debug("captured output:\n%s", printed())


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()


def load_tensorflow(*, threads: int = 0, onednn: bool = True) -> None:
    """Import TensorFlow and start its runtime without its log output. For programs, not for libraries.

    Args:
        threads: number of threads, 0 for all CPUs. Sums are split among threads, so results are bit-equal only with
            the same number of them.
        onednn: use oneDNN's operators, unless the variable TF_ENABLE_ONEDNN_OPTS decides: TensorFlow itself leaves them
            out on processors without AVX-512. They make full trainings faster, and short ones with small batches
            slower.

    Raises:
        InputError: if TensorFlow runs in this process already, with another number of threads.
    """
    if not debugging():
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        logging.getLogger("tensorflow").setLevel(logging.ERROR)  # hides its advice on retracing
    _keep_freed_memory()
    with quiet(), _default_variable(_ONEDNN, str(int(onednn))):
        import keras  # noqa: F401
        import tensorflow as tf

        if threads:
            try:
                tf.config.threading.set_intra_op_parallelism_threads(threads)
                tf.config.threading.set_inter_op_parallelism_threads(threads)
            except RuntimeError:
                raise InputError(
                    f"threads is {threads}, and TensorFlow runs in this process already with another number: use the "
                    "same one, leave threads at 0, or start another process"
                ) from None
        _share_gpus()
        tf.config.list_logical_devices()


def _share_gpus() -> None:
    """Let several processes use a GPU: each takes the memory that it needs. By default the first one takes all."""
    import tensorflow as tf

    for gpu in tf.config.list_physical_devices("GPU"):
        with contextlib.suppress(RuntimeError):  # TensorFlow runs in this process already
            tf.config.experimental.set_memory_growth(gpu, True)


@contextlib.contextmanager
def _default_variable(name: str, value: str) -> Iterator[None]:
    """Set an environment variable that is not set, for a while: child processes do not inherit it."""
    if name in os.environ:
        yield
        return
    os.environ[name] = value
    try:
        yield
    finally:
        del os.environ[name]


def _keep_freed_memory() -> None:
    """Let the C library keep freed memory instead of returning it to the system after every operator.

    The kernel clears each page that it hands out again. For activations of 50 MB that took up to four times as long as
    the operator itself.
    """
    with contextlib.suppress(OSError, AttributeError):  # other C libraries than glibc have no mallopt
        mallopt = ctypes.CDLL(None).mallopt
        for option, value in ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, 2**31 - 1), (_M_TOP_PAD, 2**28)):
            mallopt(option, value)


@contextlib.contextmanager
def downloading() -> Iterator[None]:
    """Send what Keras prints about a download to stderr: stdout is for results."""
    with contextlib.redirect_stdout(sys.stderr):
        yield
