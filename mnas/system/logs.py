"""Log output: warnings, and with `mnas --debug` everything."""

from __future__ import annotations

import logging
import sys


class _ToStderr(logging.Handler):
    """Writes to the current `sys.stderr`, which a progress bar replaces while it is shown."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            print(self.format(record), file=sys.stderr, flush=True)
        except Exception:  # as in the standard library's handlers: a failing log must not end the work
            self.handleError(record)


def set_up_logging(*, debug: bool) -> None:
    """Show mnas's log on stderr. For programs, not for libraries.

    Args:
        debug: show everything with logger names and tracebacks; otherwise only warnings.
    """
    handler = _ToStderr()
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s" if debug else "%(message)s"))
    logger = logging.getLogger("mnas")
    for former in [each for each in logger.handlers if isinstance(each, _ToStderr)]:
        logger.removeHandler(former)
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG if debug else logging.WARNING)
    logger.propagate = False  # libraries, such as TensorFlow's, add handlers to the root: avoid printing twice
