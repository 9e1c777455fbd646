"""Small pieces of HTML as text, for notebooks: what `_repr_html_` methods are put together from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

_CELL = "text-align:right;padding:.15em .7em;white-space:nowrap"
_FIRST = "text-align:left;padding:.15em .7em;white-space:nowrap;font-family:monospace"


def table(title: str, header: Sequence[str], rows: Iterable[Sequence[object]], *, note: str = "") -> str:
    """A table under a title; every value is escaped, columns after the first align right.

    Args:
        title: above it.
        header: names of the columns.
        rows: as many values as there are columns.
        note: a sentence between title and table.
    """
    head = "".join(_cell("th", name, number) for number, name in enumerate(header))
    body = "".join("<tr>" + "".join(_cell("td", value, n) for n, value in enumerate(row)) + "</tr>" for row in rows)
    said = f"<div>{escape(note)}</div>" if note else ""
    return (
        f"<div><strong>{escape(title)}</strong>{said}<table><thead><tr>{head}</tr></thead>"
        f"<tbody>{body}</tbody></table></div>"
    )


def _cell(tag: str, value: object, number: int) -> str:
    return f'<{tag} style="{_CELL if number else _FIRST}">{escape(str(value))}</{tag}>'
