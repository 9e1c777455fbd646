"""A real sshd on loopback, and a Python behind it as the board."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from typer.testing import CliRunner

from mnas.cli.main import app
from mnas.devices.base import Array, MeasurementSettings
from mnas.devices.registry import open_device
from mnas.devices.ssh import BoardDevice, BoardModel, open_board
from mnas.errors import InputError, MnasError
from mnas.export.on_device import check_on_device
from mnas.latency.table import LatencyTable
from mnas.space import load_space
from mnas.tflite.random_model import write_random_model
from mnas.tflite.runner import TFLiteRunner

Image = npt.NDArray[Any]
NETWORK = load_space("mnasnet-16").sample(np.random.default_rng(0))
DATA = write_random_model(NETWORK)
SMALL = replace(NETWORK, stages=NETWORK.stages[:2], head_filters=16)
SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


class Board:
    """An sshd, its keys, and an ssh that finds it under the name `board`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("host", "user", "stranger"):
            command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
            subprocess.run(command, check=True, capture_output=True)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        shutil.copy(folder / "user.pub", folder / "authorized_keys")
        (folder / "sshd_config").write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nPidFile none\nStrictModes no\n"
            f"AuthorizedKeysFile {folder}/authorized_keys\nPasswordAuthentication no\n"
            f"KbdInteractiveAuthentication no\nSetEnv TMPDIR={folder}/tmp\n"
        )
        (folder / "tmp").mkdir()
        (folder / "bin").mkdir()
        self.know_host(f"[127.0.0.1]:{self.port} {(folder / 'host.pub').read_text()}")
        self.configure("user")
        wrapper = folder / "client" / "ssh"  # this user's own configuration must not matter
        wrapper.parent.mkdir()
        wrapper.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {folder}/ssh_config "$@"\n')
        wrapper.chmod(0o755)
        # The children of an sshd that is not root are of this user; root's need the folder below.
        if os.getuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)
        self.process = subprocess.Popen([SSHD or "", "-D", "-e", "-f", folder / "sshd_config"], stderr=subprocess.PIPE)
        self._wait()

    def _wait(self) -> None:
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        pytest.skip(f"sshd does not start here: {(self.process.stderr or sys.stderr).read()!r}")

    def know_host(self, line: str) -> None:
        (self.folder / "known_hosts").write_text(line)

    def configure(self, key: str, port: int | None = None) -> None:
        (self.folder / "ssh_config").write_text(
            f"Host board\n  HostName 127.0.0.1\n  Port {port or self.port}\n  IdentityFile {self.folder}/{key}\n"
            f"  IdentitiesOnly yes\n  IdentityAgent none\n  UserKnownHostsFile {self.folder}/known_hosts\n"
            "  GlobalKnownHostsFile /dev/null\n"
        )

    @property
    def files(self) -> list[str]:
        return [path.name for path in (self.folder / "tmp").iterdir()]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    if SSHD is None or shutil.which("ssh") is None:
        pytest.skip("sshd or ssh is not installed (apt-get install openssh-server openssh-client)")
    board = Board(tmp_path_factory.mktemp("board"))
    yield board
    board.process.terminate()
    board.process.wait()


@pytest.fixture
def board(server: Board, monkeypatch: pytest.MonkeyPatch) -> Iterator[Board]:
    monkeypatch.setenv("PATH", f"{server.folder}/client{os.pathsep}{os.environ['PATH']}")
    python = server.folder / "bin" / "python3"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    yield server
    server.know_host(f"[127.0.0.1]:{server.port} {(server.folder / 'host.pub').read_text()}")
    server.configure("user")


def open_it(board: Board, **options: object) -> BoardDevice:
    # By its path, for what python3 means there is up to the login shell's own files.
    device = open_device(f"ssh:board:{board.folder}/bin/python3", **options)  # type: ignore[arg-type]
    assert isinstance(device, BoardDevice)
    return device


@pytest.mark.parametrize("delegate", ["xnnpack", "none"])
def test_a_network_is_measured_and_nothing_stays_on_the_board(board: Board, delegate: str) -> None:
    device = open_it(board, delegate=delegate)
    with device.measuring():
        assert len(board.files) == 2  # the agent's folder, and its lock
        model, other = device.load(DATA), device.load(DATA)
        times = model.warm_run_times_ms(5, warm_up=2)
        assert other.run_times_ms(3).shape == (3,)
        model.close()
        with pytest.raises(MnasError, match="on board: KeyError"):
            model.run_times_ms(1)
        with pytest.raises(MnasError, match=r"on board: .*Error"):
            device.load(DATA[:100])
    assert times.shape == (5,)
    assert (times > 0).all()
    assert board.files == []
    with pytest.raises(MnasError, match="only within measuring"):
        device.load(DATA)
    with device.measuring():  # and again
        assert device.load(DATA).run_times_ms(2).shape == (2,)


def test_the_board_says_what_it_is(board: Board, caplog: pytest.LogCaptureFixture) -> None:
    device = open_it(board, threads=1)
    with device.measuring():
        device.cool_down()
        assert not caplog.text
        device.cool_down(slowdown=1.3)
        assert "1.30 times slower" in caplog.text
    found = device.configuration("int8")
    assert (found.device, found.runtime, found.delegate, found.dtype) == ("ssh", "litert", "xnnpack", "int8")
    assert found.soc == os.uname().machine
    assert found.runtime_version[0].isdigit()
    assert len(found.affinity.split(",")) == 1


@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_a_file_is_verified_on_the_board(board: Board, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mnas.export.on_device.SECONDS", 0.05)
    monkeypatch.setattr(BoardDevice, "pace", MeasurementSettings(burst_ms=1, first_looks=3))
    content = write_random_model(SMALL, dtype=dtype)
    images = np.random.default_rng(0).uniform(-1, 1, (3, 16, 16, 3)).astype(np.float32)
    found = check_on_device(content, open_it(board), images, name="ssh:board", dtype=dtype)
    assert (found.images, found.agreement) == (3, 1.0)
    assert found.max_difference < 1e-6
    assert board.files == []


def test_a_board_that_answers_nonsense(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    device = open_it(board)
    with device.measuring():
        model = device.load(DATA)
        monkeypatch.setattr(device, "ask", lambda *request, limit_s: ["no", "bytes"])
        with pytest.raises(MnasError, match="board sent an invalid output"):
            model.infer(np.zeros((1, 16, 16, 3), np.float32))


def test_a_board_that_was_gone_is_waited_for(board: Board, caplog: pytest.LogCaptureFixture) -> None:
    """It has lost the networks that were loaded; they are loaded again."""
    device = open_it(board, wait_minutes=1)
    with device.measuring():
        model, closed = device.load(DATA), device.load(DATA)
        closed.close()
        assert device.link is not None
        device.link.process.kill()
        assert model.run_times_ms(3).shape == (3,)
        with pytest.raises(MnasError, match="on board: KeyError"):
            closed.run_times_ms(1)
    assert "Waiting up to 60 seconds for board to come back" in caplog.text
    assert "board is back after" in caplog.text
    assert device.waited_s > 0
    with open_it(board).measuring():  # the lock of the former connection is gone
        pass
    impatient = open_it(board)
    with impatient.measuring():
        model = impatient.load(DATA)
        assert impatient.link is not None
        impatient.link.process.kill()
        with pytest.raises(MnasError, match="the connection broke"):
            model.run_times_ms(3)


def test_what_waiting_does_not_mend_is_said_at_once(board: Board) -> None:
    board.configure("stranger")
    with pytest.raises(MnasError, match="does not accept this computer's keys"):
        open_it(board, wait_minutes=60)


def test_bench_over_ssh(board: Board, tmp_path: Path) -> None:
    (tmp_path / "net.tflite").write_bytes(DATA)
    arguments = [
        "bench",
        str(tmp_path / "net.tflite"),
        "--device",
        f"ssh:board:{board.folder}/bin/python3",
        "--seconds",
        "0.2",
        "--json",
    ]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert 0 < report["min_ms"] <= report["median_ms"]
    assert board.files == []


def test_a_profile_over_ssh(board: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mnas.profiling.collect.LEAST", 8)
    monkeypatch.setattr("mnas.profiling.collect.MOST", 8)
    monkeypatch.setattr(BoardDevice, "pace", MeasurementSettings(burst_ms=1, first_looks=3, wave_networks=4))
    out = tmp_path / "board.json"
    arguments = ["profile", "--space", "mnasnet-16", "--device", f"ssh:board:{board.folder}/bin/python3"]
    result = CliRunner().invoke(app, [*arguments, "--out", str(out), "--minutes", "0.05"])
    assert result.exit_code == 0, result.output
    table = LatencyTable.load(out)
    assert (table.configuration.device, table.configuration.runtime) == ("ssh", "litert")
    assert table.reference_ms > 0
    assert board.files == []


@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_an_arm64_board(board: Board, dtype: str) -> None:
    folder = Path(os.environ.get("MNAS_ARM64_BOARD") or Path(__file__).parents[2] / ".arm64-board")
    if not (folder / "python3").is_file():
        pytest.skip("no arm64 Python under qemu: bash tools/environments/arm64_board.sh .arm64-board makes one")
    # tflite-runtime 2.14 runs int8 networks without XNNPACK.
    delegate = "xnnpack" if dtype == "float32" else "none"
    device = open_device(f"ssh:board:{folder / 'python3'}", runtime="tflite-runtime", delegate=delegate)
    content = write_random_model(SMALL, dtype=dtype)
    with device.measuring():
        model = device.load(content)
        times = model.warm_run_times_ms(2, warm_up=1)
        here = TFLiteRunner(content)
        image = np.random.default_rng(0).uniform(-1, 1, (16, 16, 3)).astype(np.float32)
        there = here.read(model.infer(here.taken(image)))
    # The last bit of an integer is the kernel's own business: two steps of the output's 256.
    np.testing.assert_allclose(there, here(image[None])[0], atol=1e-5 if dtype == "float32" else 2 / 256)
    assert (times > 0).all()
    found = device.configuration(dtype)
    assert (found.soc, found.runtime, found.runtime_version) == ("aarch64", "tflite-runtime", "2.14.0")
    assert found.cpu == "0xd08"
    assert board.files == []


def test_an_unknown_host_key(board: Board) -> None:
    board.know_host("")
    with pytest.raises(MnasError, match="connect once by hand and compare it: ssh board"):
        open_it(board)


def test_a_host_key_that_has_changed(board: Board) -> None:
    board.know_host(f"[127.0.0.1]:{board.port} {(board.folder / 'stranger.pub').read_text()}")
    with pytest.raises(MnasError, match="ssh-keygen -R board"):
        open_it(board)


def test_a_key_that_is_not_accepted(board: Board) -> None:
    board.configure("stranger")
    with pytest.raises(MnasError, match="ssh-copy-id board"):
        open_it(board)


def test_nobody_there(board: Board) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    board.configure("user", port)
    with pytest.raises(MnasError, match=r"nothing answers ssh there: is sshd running, on the port in ~/.ssh/config\?"):
        open_it(board)
    with pytest.raises(MnasError, match=rf"is sshd running, on port {port}\?"):
        open_device(f"ssh:127.0.0.1:{port}")
    with pytest.raises(MnasError, match="no host of that name"):
        open_device("ssh:no-such-host.invalid")


def test_a_board_without_python_or_runtime(board: Board) -> None:
    with pytest.raises(
        MnasError, match=r"/no/such/python is no program there; choose one with --device ssh:HOST:/PATH"
    ):
        open_device("ssh:board:/no/such/python")
    python = board.folder / "bin" / "python3"
    with pytest.raises(MnasError, match="/etc/passwd cannot be executed; choose one with"):
        open_device("ssh:board:/etc/passwd")
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S "$@"\n')  # a Python without any packages
    with pytest.raises(MnasError, match=r"No module named .*\n.*bin/python3 -m pip install ai-edge-litert"):
        open_it(board)
    assert board.files == []


def test_a_python_that_is_too_old(board: Board) -> None:
    python = board.folder / "bin" / "python3"
    python.write_text("#!/bin/sh\ncase $1 in -c) exit 3 ;; -V) echo Python 3.7.2 >&2 ;; esac\n")
    with pytest.raises(
        MnasError, match=r"mnas needs Python 3\.8 there, and .*/bin/python3 is Python 3\.7\.2: choose one"
    ):
        open_it(board)
    assert board.files == []


def test_a_port_instead_of_a_configuration(board: Board) -> None:
    board.configure("user", 1)  # where nobody answers
    device = open_device(f"ssh:board:{board.port}:{board.folder}/bin/python3")
    with device.measuring():
        assert device.load(DATA).run_times_ms(2).shape == (2,)
    assert board.files == []


def test_two_computers_do_not_measure_on_one_board_at_a_time(board: Board) -> None:
    first, second = open_it(board), open_it(board)
    with first.measuring():
        said = f"this board is being measured by process {os.getpid()} on .* since"
        with pytest.raises(MnasError, match=said), second.measuring():
            pass
        assert first.load(DATA).run_times_ms(2).shape == (2,)
    with second.measuring():
        assert second.load(DATA).run_times_ms(2).shape == (2,)
    assert board.files == []


def test_a_python_of_its_own(board: Board, tmp_path: Path) -> None:
    odd = tmp_path / "a python; touch gone"
    odd.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    odd.chmod(0o755)
    device = open_device(f"ssh:board:{odd}")
    with device.measuring():
        assert device.load(DATA).run_times_ms(1).shape == (1,)


def test_the_connection_breaks(board: Board) -> None:
    device = open_it(board)
    with device.measuring():
        model = device.load(DATA)
        assert device.link is not None
        device.link.process.kill()
        with pytest.raises(MnasError, match="the connection broke"):
            model.run_times_ms(1)
    for _ in range(100):  # the agent on the board ends by itself
        if not board.files:
            break
        time.sleep(0.1)
    assert board.files == []


def lose(monkeypatch: pytest.MonkeyPatch, *, after: int) -> None:
    """After so many bursts, the connection to the board ends."""
    bursts = iter(range(after))
    run = BoardModel.warm_run_times_ms

    def warm_run_times_ms(model: BoardModel, num_runs: int, *, warm_up: int) -> Array:
        if next(bursts, None) is None:
            assert model.device.link is not None
            model.device.link.process.kill()
        return run(model, num_runs, warm_up=warm_up)

    monkeypatch.setattr(BoardModel, "warm_run_times_ms", warm_run_times_ms)


def test_a_board_that_vanishes_during_bench_is_said(
    board: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose(monkeypatch, after=70)  # 50 looks at the reference come first
    (tmp_path / "net.tflite").write_bytes(DATA)
    device = f"ssh:board:{board.folder}/bin/python3"
    result = CliRunner().invoke(app, ["bench", str(tmp_path / "net.tflite"), "--device", device])
    assert isinstance(result.exception, MnasError), result.exception
    assert "cannot measure on board: the connection broke" in str(result.exception)


def test_a_board_that_vanishes_while_a_file_is_verified_is_said(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    device = open_it(board)
    infer = BoardModel.infer

    def vanish(model: BoardModel, image: Image) -> bytes:
        assert device.link is not None
        device.link.process.kill()
        return infer(model, image)

    monkeypatch.setattr(BoardModel, "infer", vanish)
    images = np.zeros((2, 16, 16, 3), np.float32)
    with pytest.raises(MnasError, match="cannot measure on board: the connection broke"):
        check_on_device(DATA, device, images, name="ssh:board", dtype="float32")


def test_a_board_that_is_gone_says_so_at_once(board: Board) -> None:
    device = open_it(board)
    with device.measuring():
        model = device.load(DATA)
        assert device.link is not None
        device.link.process.kill()
        start = time.monotonic()
        for _ in range(3):
            with pytest.raises(MnasError, match="the connection broke"):
                model.run_times_ms(1)
        model.close()
        assert time.monotonic() - start < 30  # and not the minutes that a run is waited for


def test_a_board_that_hangs(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    device = open_it(board)
    monkeypatch.setattr("mnas.devices.ssh.RUN_S", 0.0)
    with device.measuring(), pytest.raises(MnasError, match="did not answer for 0 s"):
        device.load(DATA).run_times_ms(500)


def test_chatter_is_not_an_answer(board: Board) -> None:
    python = board.folder / "bin" / "python3"
    python.write_text(f'#!/bin/sh\necho Welcome to the board\nexec {sys.executable} "$@"\n')
    assert open_it(board).configuration("float32").device == "ssh"


@pytest.mark.parametrize(
    "spec", ["-oProxyCommand=touch gone", "a b", ":", "host:0", "host:70000", "host:python3", "::1", "[x]", ""]
)
def test_what_is_no_host(spec: str) -> None:
    with pytest.raises(InputError, match="expected ssh:HOST"):
        open_board(spec, runtime="litert", threads=1, delegate="xnnpack")


def test_what_a_board_cannot_do() -> None:
    for options in ({"delegate": "gpu"}, {"runtime": "onnx"}, {"threads": 0}):
        with pytest.raises(InputError):
            open_device("ssh:board", **options)  # type: ignore[arg-type]
