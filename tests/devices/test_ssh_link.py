"""Answers that no honest board gives."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mnas.devices.ssh import BoardDevice
from mnas.devices.ssh_link import MOST_ANSWERS, MOST_WORDS, SshLink
from mnas.errors import MnasError
from tools.fuzz.devices import board_that_says


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'mnas {"ok": NaN}\n', "an invalid answer"),
        (b"mnas " + b"[" * 100_000 + b"\n", "an invalid answer"),
        (b'mnas {"ok": [1, 2, 3]', "broke"),
        (b'mnas {"ok": [1, 2, true]}\n', "invalid times"),
        (b'mnas {"ok": [1, 2, 1' + b"0" * 400 + b"]}\n", "invalid times"),
    ],
)
def test_what_a_board_may_not_answer(line: bytes, message: str) -> None:
    start = b'mnas {"ok": {}}\nmnas {"ok": null}\n'
    with board_that_says(start + line):
        device = BoardDevice("board", "python3", runtime="litert", threads=1, delegate="xnnpack")
        model = device.load(b"")
        with pytest.raises(MnasError, match=message):
            model.run_times_ms(3)


def link_to(script: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> SshLink:
    """A link whose ssh is a shell script."""
    ssh = folder / "ssh"
    ssh.write_text(f"#!/bin/sh\n{script}\n")
    ssh.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return SshLink("board", "python3")


def test_what_a_board_prints_beside_its_answers_is_kept_within_bounds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = link_to("head -c 3000000 /dev/zero | tr '\\0' x >&2; echo Permission denied >&2", tmp_path, monkeypatch)
    with pytest.raises(MnasError, match="ssh-copy-id board"):
        link.ask({"do": "start"}, limit_s=30)
    assert len(link.complaints) == MOST_WORDS


def test_a_board_that_answers_unasked_does_not_fill_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = link_to("""exec yes 'mnas {"ok": 1}'""", tmp_path, monkeypatch)
    link.process.wait(30)  # nobody listens any more
    assert link.answers.qsize() <= MOST_ANSWERS + 1
    link.close()
