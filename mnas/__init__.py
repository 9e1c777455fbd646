"""mnas designs a neural network for your phone: profile, search, scale, train, export, measure.

These names are the library. They load when they are first used (PEP 562), so that `import mnas` costs nothing;
`__init__.pyi` says which they are, where they stand and what types they have.
"""

from typing import Any

import lazy_loader

__version__ = "0.1.0"

_load, _, _names = lazy_loader.attach_stub(__name__, __file__)
__all__ = ["__version__", *_names]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'mnas' has no attribute {name!r}")
    return _load(name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
