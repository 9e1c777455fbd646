"""What the program says beside its results: warnings, and with `mnas --debug` everything that is logged."""

from __future__ import annotations

import logging
import sys


class _ToStderr(logging.Handler):
    """Writes to the stderr of the moment: a progress bar puts another one in its place while it is shown."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            print(self.format(record), file=sys.stderr, flush=True)
        except Exception:  # as every handler of the standard library: what cannot be logged must not end the work
            self.handleError(record)


def set_up_logging(*, debug: bool) -> None:
    """Show mnas's own log on stderr, once a line. For programs, not for libraries.

    Args:
        debug: show everything, with where it comes from and tracebacks; otherwise warnings, as they are.
    """
    handler = _ToStderr()
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s" if debug else "%(message)s"))
    logger = logging.getLogger("mnas")
    for former in [each for each in logger.handlers if isinstance(each, _ToStderr)]:
        logger.removeHandler(former)
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG if debug else logging.WARNING)
    logger.propagate = False  # libraries, such as TensorFlow's, put handlers of their own on the root: no line twice
