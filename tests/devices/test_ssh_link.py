"""Answers that no honest board gives."""

from __future__ import annotations

from unittest import mock

import pytest

from mnas.devices.ssh import BoardDevice
from mnas.errors import MnasError
from tools.fuzz_devices import Line


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'mnas {"ok": NaN}\n', "what is no answer"),
        (b"mnas " + b"[" * 100_000 + b"\n", "what is no answer"),
        (b'mnas {"ok": [1, 2, 3]', "broke"),
        (b'mnas {"ok": [1, 2, true]}\n', "what are no times"),
        (b'mnas {"ok": [1, 2, 1' + b"0" * 400 + b"]}\n", "what are no times"),
    ],
)
def test_what_a_board_may_not_answer(line: bytes, message: str) -> None:
    start = b'mnas {"ok": {}}\nmnas {"ok": null}\n'
    with mock.patch("mnas.devices.ssh.SshLink", return_value=Line(start + line)):
        device = BoardDevice("board", "python3", runtime="litert", threads=1, delegate="xnnpack")
        model = device.load(b"")
        with pytest.raises(MnasError, match=message):
            model.run_times_ms(3)
