"""Model cards (Mitchell et al. 2019) in Markdown, from the JSON description of an exported file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jinja2

_DTYPES = {
    "float32": "float32",
    "float16": "float16 weights, widened when the file is loaded",
    "dynamic": "int8 weights, float32 activations (dynamic range)",
    "int8": "int8 throughout, weights per channel",
}


def model_card(name: str, document: Mapping[str, Any]) -> str:
    """Return the card of one file.

    Args:
        name: name of the file, without its suffix.
        document: the JSON description beside it.
    """
    environment = jinja2.Environment(  # noqa: S701 - Markdown, not HTML
        loader=jinja2.PackageLoader("mnas.export"),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    template = environment.get_template("model_card.md")
    return template.render(name=name, numbers=_DTYPES[document["dtype"]], **document)
