"""What `benchmark_model` says it did: delegates, settings, and flags that it does not know.

A delegate that takes nothing is no error to the program: it goes on with TFLite's own kernels. Its words by age:

- to TensorFlow 2.1, `Applied GPU delegate.`;
- 2.2, `Applied GPU delegate, and the model graph will be completely (partially) executed w/ the delegate.`;
- since 2.3, `Explicitly applied GPU delegate, and the model graph will be completely (partially) executed by the
  delegate`, or `Though GPU delegate is explicitly applied, the model graph will not be executed by the delegate.`
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

_APPLIED = re.compile(r"\bapplied (\w+) delegate\b([^\n]*)", re.IGNORECASE)
_IDLE = re.compile(
    r"\b(\w+) delegate is explicitly applied[^\n]*not be executed"
    r"|\bapplied (\w+) delegate[^\n]*not be executed"
    r"|\bFailed to apply (\w+) delegate",
    re.IGNORECASE,
)
_REPLACED = re.compile(r"Replacing (\d{1,9})(?: out of (\d{1,9}))? node\(s\) with delegate \((\w+)\)")
_ACCELERATORS = re.compile(r"NNAPI accelerators available: \[([^\]\n]*)\]")
_SETTINGS = (
    "Graph",
    "Num threads",
    "#threads used for CPU inference",
    "Min num runs",
    "Num runs",
    "Use gpu",
    "Use NNAPI",
    "Use xnnpack",
    "Use hexagon",
    "NNAPI accelerator name",
    "Allow lower precision in gpu",
    "External delegate path",
    "External delegate options",
)
_UNKNOWN = re.compile(r"Unconsumed cmdline flags:([^\n]*)")


@dataclass(frozen=True, slots=True)
class Claims:
    """What the program says about its delegates (`GPU`, `NNAPI`, `XNNPACK`) and its settings.

    Attributes:
        applied: delegates that it applied.
        partly: those of them that run only a part of the operators.
        idle: delegates that it applied but that run nothing.
        taken: by delegate, the number of operators that it runs, and of those that it was offered (0 if not said).
        created_xnnpack: whether it made an XNNPACK delegate, asked for or not.
        accelerators: that NNAPI offers; None if not said.
        settings: such as `num threads`, by their names in small letters.
        unknown_flags: arguments that this build does not know.
    """

    applied: tuple[str, ...] = ()
    partly: tuple[str, ...] = ()
    idle: tuple[str, ...] = ()
    taken: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    created_xnnpack: bool = False
    accelerators: tuple[str, ...] | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    unknown_flags: tuple[str, ...] = ()

    def share(self, delegate: str) -> str:
        """How much a delegate runs that does not run everything: `only 61 of 64 operators`."""
        taken, offered = self.taken.get(delegate, (0, 0))
        return f"only {taken} of {offered} operators" if taken < offered else "only a part"


def parse_claims(text: str) -> Claims:
    """Read what the program says, from its output without escape sequences."""
    applied = [(name.upper(), rest) for name, rest in _APPLIED.findall(text) if "not be executed" not in rest]
    taken: dict[str, tuple[int, int]] = {}
    for number, offered, name in _REPLACED.findall(text):  # one line for each subgraph
        delegate = _delegate(name)
        before = taken.get(delegate, (0, 0))
        taken[delegate] = (before[0] + int(number), before[1] + int(offered or 0))
    accelerators = _ACCELERATORS.search(text)
    unknown = _UNKNOWN.search(text)
    settings = {name: _setting(name, text) for name in _SETTINGS}
    return Claims(
        applied=tuple(name for name, _ in applied),
        partly=tuple(name for name, rest in applied if "partially" in rest),
        idle=tuple(dict.fromkeys(name.upper() for found in _IDLE.findall(text) for name in found if name)),
        taken=taken,
        created_xnnpack="XNNPACK delegate for CPU" in text or "XNNPACK delegate created" in text,
        accelerators=accelerators and tuple(name.strip() for name in accelerators[1].split(",")),
        settings={name.lower(): value for name, value in settings.items() if value is not None},
        unknown_flags=tuple(unknown[1].split()) if unknown else (),
    )


def _delegate(kernel: str) -> str:
    """The delegate whose kernel TFLite names, such as `TfLiteGpuDelegateV2`; else that name."""
    return next((name for name in ("XNNPACK", "NNAPI", "GPU", "HEXAGON") if name in kernel.upper()), kernel)


def _setting(name: str, text: str) -> str | None:
    found = re.search(rf"(?:^|\s){re.escape(name)} ?: \[([^\]\n]*)\]", text, re.MULTILINE | re.IGNORECASE)
    return found[1].strip() if found else None
