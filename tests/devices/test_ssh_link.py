"""Answers that no honest board gives."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from mnas.devices.ssh import BoardDevice, open_board
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
    link = link_to(
        "head -c 3000000 /dev/zero | tr '\\0' x >&2; echo Permission denied >&2; exit 255", tmp_path, monkeypatch
    )
    with pytest.raises(MnasError, match="ssh-copy-id board"):
        link.ask({"do": "start"}, limit_s=30)
    assert len(link.complaints) == MOST_WORDS


def test_a_board_that_answers_unasked_does_not_fill_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = link_to("""exec yes 'mnas {"ok": 1}'""", tmp_path, monkeypatch)
    link.process.wait(30)  # nobody listens any more
    assert link.answers.qsize() <= MOST_ANSWERS + 1
    link.close()


READY = "printf '\\nmnas-stage shell\\n\\nmnas-stage sent\\n\\nmnas-stage python\\n'"


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (
            "echo 'Welcome. Press a key: '; printf 'Your choice? '; sleep 20",
            r"not reached a shell that runs commands.*ssh board echo hello\n  Welcome. Press a key:\n  Your choice\?",
        ),
        ("echo 'bash: /opt/tool: Permission denied' >&2; exit 1", "not reached a shell .*\n  bash: /opt/tool"),
        ("printf '\\nmnas-stage shell\\n'; echo 'mktemp: Read-only file system' >&2; exit 1", "temporary files cannot"),
        (
            "printf '\\nmnas-stage shell\\n\\nmnas-stage sent\\n'; echo 'sh: python3: Permission denied' >&2; "
            "printf '\\nmnas-stage no-python 126\\n'; exit 1",
            r"no such Python: python3 cannot be executed; choose one(?s:.*)sh: python3: Permission denied",
        ),
        ("printf '\\nmnas-stage no-python 127\\n'; exit 1", "python3 is no program there; choose one"),
        ("printf '\\nmnas-stage old Python 3.6.9\\n'; exit 1", "needs Python 3.8 there, and python3 is Python 3.6.9:"),
        (f"{READY}; echo 'No such file or directory' >&2; exit 255", "the connection broke: run it again"),
    ],
)
def test_how_far_a_board_has_come_is_said(
    script: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mnas.devices.ssh_link._LOGIN_S", 2.0)
    monkeypatch.setattr("mnas.devices.ssh_link._HANG_UP_S", 0.1)
    link = link_to(script, tmp_path, monkeypatch)
    with pytest.raises(MnasError, match=message):
        link.ask({"do": "start"}, limit_s=100)


def test_a_slow_board_may_take_its_time_once_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mnas.devices.ssh_link._LOGIN_S", 0.5)
    monkeypatch.setattr("mnas.devices.ssh_link._HANG_UP_S", 0.1)
    link = link_to(f"""{READY}; sleep 1.5; echo 'mnas {{"ok": 1}}'; sleep 20""", tmp_path, monkeypatch)
    assert link.ask({"do": "start"}, limit_s=100) == 1
    with pytest.raises(MnasError, match=r"did not answer for 0\.2 s: is it overloaded"):
        link.ask({"do": "start"}, limit_s=0.2)


def test_a_port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ssh = tmp_path / "ssh"
    ssh.write_text(f'#!/bin/sh\necho "$@" >{tmp_path}/arguments; echo Permission denied >&2; exit 255\n')
    ssh.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    for spec, words, name in [
        ("board:2222", "-p 2222 -- board ", "ssh-copy-id -p 2222 board"),
        ("me@board:2222:/opt/python", "-p 2222 -- me@board ", "ssh-copy-id -p 2222 me@board"),
        ("[fe80::1%eth0]:22", "-p 22 -- fe80::1%eth0 ", "ssh-copy-id -p 22 fe80::1%eth0"),
        ("me@[::1]", "no -- me@::1 ", "ssh-copy-id me@::1"),
        ("[::1]:/opt/python", "no -- ::1 ", "ssh-copy-id ::1"),
    ]:
        with pytest.raises(MnasError, match=re.escape(name)):
            open_board(spec, runtime="litert", threads=1, delegate="xnnpack")
        said = (tmp_path / "arguments").read_text()
        assert words in said
        assert ("/opt/python" in said) == ("/opt/python" in spec)
