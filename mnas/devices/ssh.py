"""A Linux board over ssh: it needs Python, numpy, and one of the runtimes; mnas sends its agent."""

from __future__ import annotations

import base64
import logging
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
import numpy.typing as npt

from mnas.checks import check_choice, check_integer
from mnas.devices.base import SLOWER, Array, Device, LoadedModel, LostDeviceError
from mnas.devices.benchmark_log import printable
from mnas.devices.board_agent import PACKAGES
from mnas.devices.local import DELEGATES
from mnas.devices.ssh_link import SshLink
from mnas.devices.waiting import wait_until_back
from mnas.errors import InputError, MnasError
from mnas.latency.table import Configuration
from mnas.system.lock import owner

_SPEC = re.compile(
    r"(?P<user>[^\s:/@\[\]-][^\s:/@\[\]]*@)?"
    r"(?:\[(?P<ipv6>[0-9A-Fa-f:.]+(?:%[\w.-]+)?)\]|(?P<host>[^\s:/@\[\]-][^\s:/@\[\]]*))"
    r"(?::(?P<port>\d{1,5}))?(?::(?P<python>/\S.*))?"
)
_MOST_PORT = 65535
_START_S, _LOAD_S, RUN_S = 180.0, 180.0, 600.0  # a slow board needs a minute to load numpy
_LONGEST = 200

_log = logging.getLogger(__name__)
_Connection = tuple[SshLink, dict[str, Any]]


class BoardDevice(Device):
    """A board.

    Args:
        host: as `ssh` takes it.
        python: the program to run there.
        runtime: litert or tflite-runtime, installed for that Python.
        threads: of the runtime.
        delegate: xnnpack or none.
        cores: big, little, a number of cores or a list; empty for the fastest, one for each thread.
        port: of its sshd; None for that of the user's ssh configuration.
        wait_s: how long to wait for a board that is gone, or not there yet.

    Raises:
        InputError: for unknown names or a number of threads out of range.
        MnasError: if the board cannot be reached, or lacks a package.
    """

    sleep = staticmethod(time.sleep)

    def __init__(
        self,
        host: str,
        python: str,
        *,
        runtime: str,
        threads: int,
        delegate: str,
        cores: str = "",
        port: int | None = None,
        wait_s: float = 0.0,
    ) -> None:
        check_choice("--runtime", runtime, tuple(PACKAGES))
        check_choice("--delegate", delegate, DELEGATES)
        check_integer("--threads", threads, 1, 1024)
        self.host, self.python, self._port = host, python, port
        self.runtime, self.threads, self.delegate, self.cores = runtime, threads, delegate, cores
        self._number = 0
        self._wait_s, self.waited_s = wait_s, 0.0
        self._there: dict[int, bytes] = {}  # files that are loaded there
        self.link: SshLink | None = None
        self.link, self._facts = self._connect_in_time()

    def _connect(self) -> _Connection:
        link = SshLink(self.host, self.python, port=self._port)
        request = {
            "do": "start",
            "runtime": self.runtime,
            "threads": self.threads,
            "delegate": self.delegate,
            "cores": self.cores,
        }
        try:
            facts = link.ask(request, limit_s=_START_S)
            if not isinstance(facts, dict):
                raise MnasError(f"{self.host} sent an invalid description: {str(facts)[:_LONGEST]}")
            return link, facts
        except MnasError as error:
            link.close()
            if "ImportError" in str(error) or "ModuleNotFoundError" in str(error):
                package = PACKAGES[self.runtime][0]
                raise MnasError(
                    f"{error}\n  Install it there: {self.python} -m pip install {package}; or choose another Python "
                    "with --device ssh:HOST:/PATH/TO/PYTHON, or another --runtime"
                ) from None
            raise

    @contextmanager
    def measuring(self) -> Iterator[None]:
        """See `Device`. Closes the connection afterwards; nothing stays on the board.

        Raises:
            MnasError: if another mnas measures on the board.
        """
        if self.link is None:
            self.link, self._facts = self._connect_in_time()
        try:
            self.ask({"do": "hold", "owner": owner()}, limit_s=_LOAD_S)
            yield
        finally:
            if self.link is not None:
                self.link.close()
            self.link = None
            self._there.clear()

    def cool_down(self, slowdown: float = 1.0) -> None:
        """See `Device`. Does not wait: few boards cool down while they are on."""
        if slowdown > SLOWER:
            celsius = self.celsius()
            heat = "" if celsius is None else f" (at {celsius:.0f} degrees)"
            _log.warning(
                "%s ran %.2f times slower than at its best: it throttles%s, or another program uses it",
                self.host,
                slowdown,
                heat,
            )

    def celsius(self) -> float | None:
        """See `Device`."""
        said = self.ask({"do": "heat"}, limit_s=_LOAD_S)
        return float(said) if type(said) in (int, float) else None

    def configuration(self, dtype: str) -> Configuration:
        """See `Device`."""
        return Configuration(
            device="ssh",
            model=self._fact("model"),
            soc=self._fact("machine"),
            cpu=self._fact("cpu"),
            os=self._fact("os"),
            runtime=self.runtime,
            runtime_version=self._fact("runtime_version"),
            delegate=self.delegate,
            dtype=dtype,
            threads=self.threads,
            affinity=f"{self.cores}: {self._fact('affinity')}" if self.cores else self._fact("affinity"),
            governor=self._fact("governor"),
        )

    def _fact(self, name: str) -> str:
        return printable(str(self._facts.get(name, "")))[:_LONGEST]

    def load(self, data: bytes) -> LoadedModel:
        """See `Device`."""
        self._number += 1
        self.ask(*_loading(self._number, data), limit_s=_LOAD_S)
        self._there[self._number] = data
        return BoardModel(self, self._number)

    def unload(self, number: int) -> None:
        """Release a network."""
        self._there.pop(number, None)
        self.ask({"do": "close", "id": number}, limit_s=_LOAD_S)

    def ask(self, request: dict[str, Any], data: bytes = b"", *, limit_s: float) -> Any:
        """See `SshLink.ask`. If the board was gone, it is asked again when it is back."""
        if self.link is None:
            raise MnasError("networks can be loaded onto a board only within measuring()")
        try:
            return self.link.ask(request, data, limit_s=limit_s)
        except LostDeviceError as error:
            self.link, self._facts = self._wait(error, self._come_back)
        return self.link.ask(request, data, limit_s=limit_s)

    def _connect_in_time(self) -> _Connection:
        try:
            return self._connect()
        except LostDeviceError as error:
            return self._wait(error, self._connect)

    def _wait(self, lost: LostDeviceError, connect: Callable[[], _Connection]) -> _Connection:
        began = time.monotonic()
        try:
            return wait_until_back(self.host, connect, lost, wait_s=self._wait_s, sleep=self.sleep)
        finally:
            self.waited_s += time.monotonic() - began

    def _come_back(self) -> _Connection:
        """Connect again, as the one who measures, and with the files that were loaded."""
        link, facts = self._connect()
        try:
            link.ask({"do": "hold", "owner": owner()}, limit_s=_LOAD_S)
            for number, data in self._there.items():
                link.ask(*_loading(number, data), limit_s=_LOAD_S)
        except MnasError:
            link.close()
            raise
        return link, facts


class BoardModel(LoadedModel):
    """An interpreter on the board."""

    def __init__(self, device: BoardDevice, number: int) -> None:
        self.device, self._number = device, number

    def run_times_ms(self, num_runs: int) -> Array:
        """See `LoadedModel`."""
        return self.warm_run_times_ms(num_runs, warm_up=0)

    def warm_run_times_ms(self, num_runs: int, *, warm_up: int) -> Array:
        """See `LoadedModel`."""
        request = {"do": "run", "id": self._number, "runs": num_runs, "warm_up": warm_up}
        answer = self.device.ask(request, limit_s=RUN_S)
        if not isinstance(answer, list) or len(answer) != num_runs or not all(_is_time(value) for value in answer):
            raise MnasError(f"{self.device.host} sent invalid times: {str(answer)[:_LONGEST]}")
        return np.array(answer, dtype=np.float64) / 1e6

    def infer(self, image: npt.NDArray[Any]) -> bytes:
        """See `LoadedModel`."""
        data = image.tobytes()
        answer = self.device.ask({"do": "infer", "id": self._number, "size": len(data)}, data, limit_s=RUN_S)
        try:
            return base64.b64decode(answer, validate=True)
        except (TypeError, ValueError):
            raise MnasError(f"{self.device.host} sent an invalid output: {str(answer)[:_LONGEST]}") from None

    def close(self) -> None:
        """See `LoadedModel`. If the board is gone, the next request raises."""
        with suppress(MnasError):
            self.device.unload(self._number)


def _loading(number: int, data: bytes) -> tuple[dict[str, Any], bytes]:
    return {"do": "load", "id": number, "size": len(data)}, data


def _is_time(value: object) -> bool:
    """Whether it is a whole number of nanoseconds, at most the time limit of a run."""
    return type(value) is int and 0 < value <= RUN_S * 1e9


def parse_board(spec: str) -> tuple[str, str, int | None]:
    """Read [USER@]HOST, with :PORT and :/PATH/TO/PYTHON if wanted; an IPv6 address stands in brackets.

    Returns:
        The host as `ssh` takes it, the Python program there, and the port; None for that of the configuration.

    Raises:
        InputError: for anything else.
    """
    found = _SPEC.fullmatch(spec)
    if found is None or int(found["port"] or 1) not in range(1, _MOST_PORT + 1):
        raise InputError(
            f"--device ssh:{spec}: expected ssh:HOST, ssh:USER@HOST, ssh:HOST:PORT or ssh:[IPV6]:PORT, each also with "
            ":/PATH/TO/PYTHON at its end; everything else goes into ~/.ssh/config"
        )
    host = (found["user"] or "") + (found["ipv6"] or found["host"])
    return host, found["python"] or "python3", int(found["port"]) if found["port"] else None


def open_board(
    spec: str, *, runtime: str, threads: int, delegate: str, cores: str = "", wait_s: float = 0.0
) -> BoardDevice:
    """Open a board by its specification, see `parse_board`.

    Raises:
        InputError, MnasError: as `BoardDevice`.
    """
    host, python, port = parse_board(spec)
    how = {"runtime": runtime, "delegate": delegate, "cores": cores}
    return BoardDevice(host, python, threads=threads, port=port, wait_s=wait_s, **how)
