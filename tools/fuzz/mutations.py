"""Mutations of text, JSON and bytes, all from one seeded source of chance."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

# What stands where something else was expected: as JSON or TOML text, or inside a block string.
WEIRD = (
    *("NaN", "Infinity", "-Infinity", "nan", "inf", "-inf", "1e999", "-1e999", "1e-400", "-0.0", "0", "-1", "1.5"),
    *("9" * 19, "9" * 400, "1" + "0" * 5000, "1e308", "0x10", "0b1", "1_000", "٣", "½", "null", "true", "false"),
    *('""', '"3"', '"../../../../tmp/outside"', '"; rm -rf ~"', '"$(touch /tmp/outside)"', '"\\u0000"', '"\\ud800"'),
    *("[]", "{}", "[[1]]", '{"__class__": "os.system"}', "[" * 2000, '{"a":' * 2000, "!!python/object:os.system x"),
    *('"%s%n"', '"\\u001b[2J"', "'", '"', "\\", "|", "_", "#", "=", ":", ",", "\t", "\r\n", "\0", "\ufeff"),
)
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 1.5, -0.5, 1e308, 1e-308, 10**18, 10**30, -(10**30), 2**31, 2**63, 65537),
    *("", "3", "NaN", "../../../../tmp/outside", "; rm -rf ~", "\0", "\ud800", "x" * 100_000, "mbconv6", "ir_r1_k3"),
    *([], {}, [[]], [None], [1, 1], {"a": 1}, [0] * 1000),
)


def mutated(rng: random.Random, data: bytes) -> bytes:
    """One to three mutations, of the document's structure where it has one, of the text, or of the bytes."""
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        change: Callable[[random.Random, bytes], bytes] = rng.choice((_document, _document, _text, _text, _bytes))
        data = change(rng, data)
    return data


def _bytes(rng: random.Random, data: bytes) -> bytes:
    """Flip, cut, repeat or insert."""
    start = rng.randrange(len(data) + 1)
    end = min(len(data), start + rng.choice((1, 1, 2, 8, 100, 10_000)))
    kind = rng.randrange(6)
    if kind == 0 and data:
        place = rng.randrange(len(data))
        return data[:place] + bytes([data[place] ^ (1 << rng.randrange(8))]) + data[place + 1 :]
    if kind == 1:
        return data[:start] + data[end:]
    if kind == 2:
        return data[:end] + data[start:]
    if kind == 3:
        return data[:start] + rng.randbytes(rng.choice((1, 4, 100))) + data[start:]
    if kind == 4:
        return data[:start] + bytes(end - start) + data[end:]
    return data[:start]


def _text(rng: random.Random, data: bytes) -> bytes:
    """Put something weird in the place of a number or a word; move or repeat lines."""
    spans = _spans(data)
    lines = data.split(b"\n")
    if not spans or rng.random() < 0.2:
        first, second = rng.randrange(len(lines)), rng.randrange(len(lines))
        if rng.random() < 0.5:
            lines[first], lines[second] = lines[second], lines[first]
        else:
            lines.insert(first, lines[second])
        return b"\n".join(lines)
    start, end = rng.choice(spans)
    if rng.random() < 0.3:
        other_start, other_end = rng.choice(spans)
        word = data[other_start:other_end]
    else:
        word = rng.choice(WEIRD).encode("utf-8", "surrogatepass")
    return data[:start] + word + data[end:]


def _spans(data: bytes) -> list[tuple[int, int]]:
    """Where words and numbers stand in the first part of a file."""
    spans, start = [], None
    for place, byte in enumerate(data[:20_000]):
        inside = chr(byte).isalnum() or byte in b".+-"
        if inside and start is None:
            start = place
        elif not inside and start is not None:
            spans.append((start, place))
            start = None
    return spans if start is None else [*spans, (start, min(len(data), 20_000))]


def _document(rng: random.Random, data: bytes) -> bytes:
    """Change one place of a JSON document, or of one line of JSON lines; text that is no JSON is changed as text."""
    lines = data.split(b"\n")
    whole = len(lines) < 2 or not lines[0].startswith(b"{") or not lines[0].endswith(b"}")
    place = 0 if whole else rng.randrange(len(lines))
    try:
        document = json.loads(data if whole else lines[place])
        changed = _changed(rng, document)
        text = json.dumps(changed).encode()
    except (ValueError, RecursionError, OverflowError):
        return _text(rng, data)
    if rng.random() < 0.1:
        text = text.replace(b": ", b": 1, " + text[1 : text.find(b":") + 1] + b" ", 1)  # the first name twice
    if whole:
        return text
    lines[place] = text
    return b"\n".join(lines)


def _changed(rng: random.Random, document: Any) -> Any:
    if type(document) in (int, float) and rng.random() < 0.6:
        near = (document + 1, document - 1, -document, document * 10, document / 7, float(document), str(document))
        return rng.choice(near)
    if not isinstance(document, dict | list) or not document or rng.random() < 0.1:
        return rng.choice(VALUES)
    keys = list(document) if isinstance(document, dict) else list(range(len(document)))
    key = rng.choice(keys)
    kind = rng.random()
    if kind < 0.7:
        document[key] = _changed(rng, document[key])
    elif kind < 0.8:
        del document[key]
    elif isinstance(document, dict):
        document[rng.choice((f"{key}s", "latency_s", "extra", key.upper()))] = document.pop(key)
    else:
        document.insert(key, document[rng.choice(keys)])
    return document
