"""A confusion matrix as the page draws it: the darker a cell, the larger its share of the row."""

from __future__ import annotations

from typing import Any

from mnas.train.assessment import Assessment

MOST_CLASSES = 50  # a larger matrix is not drawn, its largest confusions are listed
_DARKEST = 60  # % of the colour, on which text can be read in both colour schemes


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
                    "depth": _DARKEST * images / own.images if own.images else 0.0,
                    "title": f"{images} of {own.images} {own.name} → {test.classes[place].name}",
                }
                for place, images in enumerate(row)
            ],
        }
        for number, (own, row) in enumerate(zip(test.classes, test.confusion, strict=True))
    ]
