from pathlib import Path

import pytest

from tools.bench.commands import do_command, resumed
from tools.bench.resumable import ResumableRun


def test_a_command_is_run_once(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    first, again = (do_command(ResumableRun(tmp_path, 60.0), "version", ["--version"]) for _ in range(2))
    assert first == again > 0
    assert capfd.readouterr().out.count("mnas") == 1


def test_a_failure_and_the_end_of_the_time_end_the_program(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="the part wrong failed"):
        do_command(ResumableRun(tmp_path, 60.0), "wrong", ["--no-such-option"])
    with pytest.raises(SystemExit, match="interrupted in the part slow; the same command goes on"):
        do_command(
            ResumableRun(tmp_path, 0.2),
            "slow",
            ["train", "mobilenet-v2", "--data", "digits", "--out", str(tmp_path / "out")],
        )
    assert not list(tmp_path.glob("*.json"))


def test_a_folder_that_is_there_is_gone_on_with(tmp_path: Path) -> None:
    assert resumed(("train", "net"), tmp_path / "new") == ("train", "net")
    assert resumed(("train", "net"), tmp_path) == ("train", "net", "--resume")
