"""A confusion matrix as the page draws it: the stronger a cell's colour, the larger its share of the row."""

from __future__ import annotations

import math
from typing import Any

from mnas.train.assessment import Assessment

MOST_CLASSES = 50  # a larger matrix is not drawn, its largest confusions are listed
_STRONGEST = 60  # % of the colour, on which text can be read in both colour schemes


def confusion_view(test: Assessment) -> list[dict[str, Any]]:
    """Return the rows of the matrix; empty for too many classes."""
    if len(test.classes) > MOST_CLASSES:
        return []
    return [
        {
            "name": own.name,
            "cells": [
                {
                    "images": images,
                    "look": "search" if place == number else "winner",
                    "depth": _STRONGEST * math.sqrt(images / max(1, own.images)),  # a few mistakes can be seen
                    "title": f"{images} of {own.images} {own.name} → {test.classes[place].name}",
                }
                for place, images in enumerate(row)
            ],
        }
        for number, (own, row) in enumerate(zip(test.classes, test.confusion, strict=True))
    ]
