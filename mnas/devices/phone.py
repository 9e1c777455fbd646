"""A phone's model, CPUs and temperature, as it reports them. This text is untrusted: it is never run."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from operator import attrgetter

from mnas.devices.adb import Adb
from mnas.devices.benchmark_log import printable

_PROPS = (
    "ro.product.manufacturer",
    "ro.product.model",
    "ro.soc.model",
    "ro.board.platform",
    "ro.build.fingerprint",
    "ro.product.cpu.abilist",
)
_FACTS = f"""for p in {" ".join(_PROPS)}; do echo "prop $p $(getprop $p)"; done
for c in /sys/devices/system/cpu/cpu[0-9]*; do
echo "cpu ${{c##*/cpu}} $(cat $c/cpufreq/cpuinfo_max_freq 2>/dev/null || echo 0) \
$(cat $c/cpufreq/scaling_governor 2>/dev/null)"
echo "capacity ${{c##*/cpu}} $(cat $c/cpu_capacity 2>/dev/null || echo 0)"
echo "online ${{c##*/cpu}} $(cat $c/online 2>/dev/null || echo 1)"
done"""
_HEAT = "dumpsys battery; dumpsys thermalservice 2>/dev/null"
_LONGEST = 200
_MOST_DEGREES = 70  # Android gives tenths; some phones give degrees, and no battery is read at 7.0 or less


@dataclass(frozen=True, slots=True)
class Cpu:
    """One core: its number, highest frequency in kHz, governor, relative speed (0 if unknown), whether it is on."""

    number: int
    max_khz: int
    governor: str
    capacity: int = 0
    online: bool = True


@dataclass(frozen=True, slots=True)
class Phone:
    """A phone's description, as it reports it, without control characters.

    Attributes:
        model: maker and model.
        soc: its chip.
        fingerprint: of its Android build.
        abis: instruction sets that it runs, separated by commas.
        cpus: its cores.
    """

    model: str
    soc: str
    fingerprint: str
    abis: str
    cpus: tuple[Cpu, ...]

    def fastest(self, count: int) -> tuple[Cpu, ...]:
        """The `count` cores with the highest frequency, by number, of those that are switched on.

        By their capacities if the phone does not report frequencies; () if it reports neither.
        """
        for speed in (attrgetter("max_khz"), attrgetter("capacity")):
            known = [cpu for cpu in self.cpus if cpu.online and speed(cpu) > 0]
            if len(known) >= count:
                best = sorted(known, key=lambda cpu: (-speed(cpu), -cpu.number))[:count]
                return tuple(sorted(best, key=lambda cpu: cpu.number))
        return ()

    @property
    def cpu(self) -> str:
        """Its cores in one line: `1 x 2.84 GHz, 7 x 1.79 GHz`."""
        speeds = sorted({cpu.max_khz for cpu in self.cpus}, reverse=True)
        groups = [f"{sum(cpu.max_khz == khz for cpu in self.cpus)} x {khz / 1e6:.2f} GHz" for khz in speeds if khz]
        return ", ".join(groups)


@dataclass(frozen=True, slots=True)
class Thermals:
    """The temperature of a phone.

    Attributes:
        celsius: of its battery; None if unknown.
        status: Android's thermal status: 0 none, 1 light, 2 moderate, 3 and above severe; 0 if unknown.
    """

    celsius: float | None
    status: int

    def __str__(self) -> str:
        battery = "battery temperature unknown" if self.celsius is None else f"battery at {self.celsius:.1f} degrees"
        return f"{battery}, thermal status {self.status}"


def read_phone(adb: Adb) -> Phone:
    """Read a phone's description.

    Raises:
        MnasError: if it goes away.
    """
    props: dict[str, str] = {}
    cpus: dict[int, Cpu] = {}
    for line in adb.shell(_FACTS, check=False).splitlines():
        kind, _, rest = line.partition(" ")
        name, _, value = rest.partition(" ")
        if kind == "prop" and name in _PROPS:
            props.setdefault(name, printable(value).strip()[:_LONGEST])
        elif kind == "cpu" and (found := re.fullmatch(r"(\d{1,4}) (\d{1,9})(?: ([\w-]{0,40}))?", rest)):
            cpus.setdefault(int(found[1]), Cpu(int(found[1]), int(found[2]), found[3] or ""))
        elif kind == "capacity" and (found := re.fullmatch(r"(\d{1,4}) (\d{1,9})", rest)) and int(found[1]) in cpus:
            cpus[int(found[1])] = replace(cpus[int(found[1])], capacity=int(found[2]))
        elif kind == "online" and (found := re.fullmatch(r"(\d{1,4}) 0", rest)) and int(found[1]) in cpus:
            cpus[int(found[1])] = replace(cpus[int(found[1])], online=False)
    maker, model, soc, platform, fingerprint, abis = (props.get(name, "") for name in _PROPS)
    named = model if model.lower().startswith(maker.lower()) else f"{maker} {model}"
    return Phone(named, soc or platform, fingerprint, abis, tuple(cpus[number] for number in sorted(cpus)))


def read_heat(adb: Adb) -> Thermals:
    """Read a phone's temperature.

    Raises:
        MnasError: if it goes away.
    """
    text = adb.shell(_HEAT, check=False)
    battery = re.search(r"^\s*temperature: (-?\d{1,4}(?:\.\d{1,3})?)\s*$", text, re.MULTILINE)
    status = re.search(r"^\s*Thermal Status: (\d)(?: \(\w+\))?\s*$", text, re.MULTILINE)
    return Thermals(_celsius(battery[1]) if battery else None, int(status[1]) if status else 0)


def _celsius(text: str) -> float:
    value = float(text)
    return value if "." in text or abs(value) <= _MOST_DEGREES else value / 10
