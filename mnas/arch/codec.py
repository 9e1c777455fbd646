"""Architectures as text: block strings (timm's grammar, MnasNet's too) and JSON, in both directions.

Files contain architectures as text only. The error for an unknown token has a caret under it.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import fields
from typing import Any, NoReturn

from msgspec import defstruct

from mnas.arch.spec import ACTIVATIONS, EXPANDING, Architecture, BlockSpec, ClassifierSpec, StageSpec
from mnas.arch.text import ACTIVATION_TOKENS, OP_PREFIX, default_skip, format_block
from mnas.arch.walk import PlacedBlock
from mnas.checks import convert
from mnas.errors import InputError
from mnas.system.files import is_document, parse_json

FORMAT = "mnas.architecture"
VERSION = 1
_OPS = {prefix: op for op, prefix in OP_PREFIX.items()}
_TOKEN = re.compile(r"(h?se|[raksecio])(\d{1,7}(?:\.\d{1,17})?)", re.ASCII)
_PLACE = re.compile(r"(\d{1,5})x\1x(\d{1,6})", re.ASCII)
_CLASSIFIER = re.compile(r"classifier(?:_([cb])(\d{1,5}))?_n(\d{1,7})", re.ASCII)
_SKIPS = {"noskip": "none", "skip": "identity", "pool": "pool"}
_ACTIVATIONS = {token: activation for activation, token in ACTIVATION_TOKENS.items()}
_LATER_FIELDS = {"pooled_filters": 0, "pooled_norm": True}  # left out where default: fingerprints of before stay
_FIELDS = tuple(field.name for field in fields(Architecture) if field.name != "stages")
_Document = defstruct(
    "_Document",
    [
        ("format", str),
        ("version", int),
        ("stages", list[str]),
        *((name, Any) for name in _FIELDS if name not in _LATER_FIELDS),
        *((name, Any, default) for name, default in _LATER_FIELDS.items()),
    ],
    forbid_unknown_fields=True,
)


def format_stage(stage: StageSpec) -> str:
    """A stage in canonical form, e.g. `ir_r3_k5_s2_e3_c40_se0.25`."""
    return format_block(stage.block, stage.repeats)


def parse_stage(text: str) -> StageSpec:
    """Read one stage in timm's grammar (`ir_r3_k5_s2_e3_c40`) or MnasNet's (`r3_k5_s22_e3_i24_o40`).

    MnasNet's `i` (input filters) is ignored: input filters follow from the previous stage.

    Raises:
        InputError: for an unknown, repeated or missing token, with a caret under it.
    """
    if not isinstance(text, str) or len(text) > 200:
        raise InputError(f"expected a block string such as ir_r3_k5_s2_e3_c40; got {str(text)[:60]!r}")
    words = text.split("_")
    mnasnet = words[0] not in _OPS and words[0][:1] == "r"
    if not mnasnet and words[0] not in _OPS:
        _refuse(text, 0, words[0], f"a block string starts with {', '.join(_OPS)} or, in MnasNet's form, r1")
    found: dict[str, str] = {}
    position = 0
    for number, word in enumerate(words):
        if number or mnasnet:
            name, value = _read_token(text, position, word, mnasnet)
            if name in found:
                _refuse(text, position, word, "repeated token")
            found[name] = value
        position += len(word) + 1
    return _stage(text, found, None if mnasnet else _OPS[words[0]])


def _read_token(text: str, position: int, word: str, mnasnet: bool) -> tuple[str, str]:
    if word in _SKIPS:
        return "skip", _SKIPS[word]
    if word in _ACTIVATIONS and not mnasnet:
        return "activation", _ACTIVATIONS[word]
    match = _TOKEN.fullmatch(word)
    letters = ("r", "k", "s", "e", "i", "o", "se") if mnasnet else ("r", "a", "k", "s", "e", "c", "se", "hse")
    if not match or match[1] not in letters:
        known = ", ".join([*letters, *_SKIPS, *([] if mnasnet else _ACTIVATIONS)])
        _refuse(text, position, word, f"unknown token; known are {known}, each letter with a number")
    if match[1] not in ("e", "se", "hse") and "." in match[2]:
        _refuse(text, position, word, f"{match[1]} takes a whole number")
    return match[1], match[2]


def _stage(text: str, found: dict[str, str], op: str | None) -> StageSpec:
    filters = "o" if op is None else "c"
    for name in ("k", "s", filters):
        if name not in found:
            _refuse(text, len(text), "", f"{name} is missing")
    expand = float(found.get("e", "1"))
    if op is None:
        op = "sepconv" if expand == 1 else "mbconv"
        stride = found["s"]
        if stride not in ("11", "22"):
            _refuse(text, text.index(f"s{stride}"), f"s{stride}", "MnasNet's form has s11 or s22")
        found["s"] = stride[0]
    elif "se" in found and "hse" in found:
        _refuse(text, text.index("hse"), f"hse{found['hse']}", "se and hse are two kinds: a block has one of them")
    elif op in EXPANDING and "e" not in found:
        _refuse(text, len(text), "", f"{OP_PREFIX[op]} needs an expansion ratio such as e6")
    try:
        block = BlockSpec(
            op=op,
            kernel_size=int(found["k"]),
            stride=int(found["s"]),
            expand_ratio=expand,
            filters=int(found[filters]),
            se_ratio=float(found.get("hse", found.get("se", "0"))),
            skip=found.get("skip", default_skip(op)),
            start_kernel_size=int(found.get("a", "0")),
            activation=found.get("activation", ""),
            hard_se="hse" in found,
        )
        return StageSpec(block, int(found.get("r", "1")))
    except InputError as error:
        raise InputError(f"{text}: {error}") from None


def _refuse(text: str, position: int, word: str, why: str) -> NoReturn:
    caret = " " * position + "^" * max(1, len(word))
    raise InputError(f"cannot read this block string: {why}\n  {text}\n  {caret}")


def parse_stages(text: str) -> tuple[StageSpec, ...]:
    """Read stages joined by `|` (spaces around it are fine)."""
    return tuple(parse_stage(part.strip()) for part in text.split("|"))


def parse_key(text: str) -> PlacedBlock:
    """Read a latency table's key, the inverse of `PlacedBlock.key`, e.g. `56x56x24 ir_k5_s2_e3_c40 relu`.

    A classifier's key has no activation unless a convolution follows its pooling; the result has relu then.

    Raises:
        InputError: for any other text.
    """
    place, _, rest = text.partition(" ")
    where, (block, _, activation) = _PLACE.fullmatch(place), rest.partition(" ")
    classifier = _CLASSIFIER.fullmatch(block)
    plain = classifier is not None and not classifier[2]
    spec = _classifier(classifier) if classifier else parse_stage(block).block
    twice = isinstance(spec, BlockSpec) and spec.activation
    if where is None or twice or activation not in (("",) if plain else ACTIVATIONS):
        raise InputError(
            f"{text[:80]!r} is not a key of a latency table: expected, e.g., '8x8x24 ir_k3_s1_e6_c24 relu'"
        )
    return PlacedBlock(spec, int(where[1]), int(where[2]), activation or "relu")


def _classifier(match: re.Match[str]) -> ClassifierSpec:
    return ClassifierSpec(int(match[3]), int(match[2] or 0), match[1] != "b")


def architecture_to_dict(architecture: Architecture) -> dict[str, Any]:
    """Plain data, ready for JSON."""
    fields = {name: getattr(architecture, name) for name in _FIELDS}
    fields = {name: value for name, value in fields.items() if value != _LATER_FIELDS.get(name)}
    stages = [format_stage(stage) for stage in architecture.stages]
    return {"format": FORMAT, "version": VERSION, **fields, "stages": stages}


def architecture_fingerprint(architecture: Architecture) -> str:
    """Return a hash of an architecture, for names of files: equal for equal ones."""
    return hashlib.sha256(json.dumps(architecture_to_dict(architecture), sort_keys=True).encode()).hexdigest()


def short_fingerprint(architecture: Architecture) -> str:
    """Return the first 16 digits of the fingerprint, to know a network by within one file."""
    return architecture_fingerprint(architecture)[:16]


def architecture_to_json(architecture: Architecture, *, indent: int | None = None) -> str:
    """One JSON document; one line unless `indent` is given."""
    return json.dumps(architecture_to_dict(architecture), indent=indent)


def architecture_from_dict(data: Any) -> Architecture:
    """The inverse of `architecture_to_dict`.

    Raises:
        InputError: for a missing, unknown or wrong field.
    """
    if not isinstance(data, dict):
        raise InputError(f"expected an architecture as a JSON object; got {type(data).__name__}")
    if not is_document(data, FORMAT, VERSION):
        raise InputError(
            f"not an architecture of this version of mnas: expected format {FORMAT!r}, version {VERSION}; "
            f"got format {data.get('format')!r}, version {data.get('version')!r}"
        )
    convert(data, _Document, "an architecture")
    stages = tuple(parse_stage(text) for text in data["stages"])
    return Architecture(stages, **{name: data[name] for name in _FIELDS if name in data})


def architecture_from_json(text: str) -> Architecture:
    """The inverse of `architecture_to_json`.

    Raises:
        InputError: if the text is not JSON, or not an architecture.
    """
    try:
        data = parse_json(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"expected an architecture as JSON: {error}") from None
    return architecture_from_dict(data)
