"""A delegate with its options, as one text: that of `--delegate`, and of `Configuration.delegate` in a table.

`gpu`, `gpu precision_loss_allowed=no`, `nnapi accelerator=qti-dsp`, `external library=/vendor/lib64/libx.so
options=a:b;c:d sha256=...`. A plain name means what it always did.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, replace

from mnas.errors import InputError

ANSWERS = ("yes", "no")
_OPTIONS = {  # of each delegate, by the command's option
    "nnapi": {"accelerator": "--nnapi-accelerator"},
    "gpu": {"precision_loss_allowed": "--gpu-precision-loss-allowed"},
    "external": {"library": "--external-delegate", "options": "--external-delegate-options", "sha256": ""},
}
_WORD = re.compile(r"[\w.:+-]{1,100}")
# The program drops, without a word, a pair that has another colon.
_PAIRS = re.compile(r"[^\s:;]+:[^:;]+(;[^\s:;]+:[^:;]+)*;?")


@dataclass(frozen=True, slots=True)
class Delegate:
    """A delegate.

    Attributes:
        name: xnnpack, none, gpu, nnapi, hexagon or external.
        accelerator: of NNAPI, by its name; empty to leave the choice to Android.
        precision_loss_allowed: whether the GPU may compute in 16 bits; empty for yes, which is the program's default.
        library: the file of an external delegate, on this computer or on the phone.
        options: of an external delegate, as `key:value;key:value`.
        sha256: of the library; empty if it is not known yet.

    Raises:
        InputError: for options of another delegate, or that the program could not read.
    """

    name: str
    accelerator: str = ""
    precision_loss_allowed: str = ""
    library: str = ""
    options: str = ""
    sha256: str = ""

    def __post_init__(self) -> None:
        for delegate, options in _OPTIONS.items():
            for field, option in options.items():
                if getattr(self, field) and self.name != delegate:
                    raise InputError(f"{option or field} needs --delegate {delegate}; got --delegate {self.name}")
        if self.name == "external" and not self.library:
            raise InputError("--delegate external needs --external-delegate PATH, its library")
        if self.accelerator and not _WORD.fullmatch(self.accelerator):
            raise InputError(f"--nnapi-accelerator is {self.accelerator!r}: expected a name, such as qti-dsp")
        if self.precision_loss_allowed not in ("", *ANSWERS):
            raise InputError(f"--gpu-precision-loss-allowed is {self.precision_loss_allowed!r}: expected yes or no")
        if self.options and not _PAIRS.fullmatch(self.options):
            raise InputError(
                f"--external-delegate-options is {self.options!r}: expected key:value;key:value, and no further colons"
            )
        if self.precision_loss_allowed == "yes":
            object.__setattr__(self, "precision_loss_allowed", "")

    def __str__(self) -> str:
        given = {field: getattr(self, field) for field in _OPTIONS.get(self.name, {})}
        return " ".join([self.name, *(shlex.quote(f"{field}={value}") for field, value in given.items() if value)])

    @staticmethod
    def parse(text: str) -> Delegate:
        """Read what `str` returns, such as `gpu`.

        Raises:
            InputError: for anything else.
        """
        try:
            name, *words = shlex.split(text)
            given = dict(word.split("=", 1) for word in words)
        except ValueError:
            name, given = text, {}
        if wrong := set(given) - set(_OPTIONS.get(name, {})):
            raise InputError(f"--delegate is {text!r}: {name} has no {', '.join(sorted(wrong))}")
        return Delegate(name, **given)

    @property
    def flags(self) -> tuple[str, ...]:
        """The flags of TFLite's `benchmark_model` for these options."""
        found = []
        if self.accelerator:
            found.append(f"--nnapi_accelerator_name={self.accelerator}")
        if self.precision_loss_allowed:
            found.append("--gpu_precision_loss_allowed=false")
        if self.library:
            found.append(f"--external_delegate_path={self.library}")
        if self.options:
            found.append(f"--external_delegate_options={self.options}")
        return tuple(found)

    @property
    def settings(self) -> dict[str, str]:
        """What the program says of these options when it has taken them, by the names in `Claims.settings`."""
        found = {
            "nnapi accelerator name": self.accelerator,
            "allow lower precision in gpu": "0" if self.precision_loss_allowed else "",
            "external delegate path": self.library,
            "external delegate options": self.options,
        }
        return {name: value for name, value in found.items() if value}


def same_delegate(asked: str, has: str) -> bool:
    """Whether two texts are one delegate with equal options; the hash of a library may be unknown in one.

    Raises:
        InputError: if one is no delegate.
    """
    one, other = Delegate.parse(asked), Delegate.parse(has)
    if not (one.sha256 and other.sha256):
        one, other = replace(one, sha256=""), replace(other, sha256="")
    return one == other


def delegate_text(
    delegate: str,
    *,
    nnapi_accelerator: str = "",
    gpu_precision_loss_allowed: str = "",
    external_delegate: str = "",
    external_delegate_options: str = "",
) -> str:
    """Put a command's options together, as `mnas.open_device` takes them for its `delegate`.

    Raises:
        InputError: as `Delegate`.
    """
    if not any((nnapi_accelerator, gpu_precision_loss_allowed, external_delegate, external_delegate_options)):
        return delegate
    found = Delegate(
        delegate,
        accelerator=nnapi_accelerator,
        precision_loss_allowed=gpu_precision_loss_allowed,
        library=external_delegate,
        options=external_delegate_options,
    )
    return str(found)
