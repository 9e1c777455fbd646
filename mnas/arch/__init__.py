"""Architectures as plain data, and what arithmetic computes of them: parameters, multiply-adds, memory."""

from mnas.arch.codec import (
    architecture_from_json,
    architecture_to_json,
    format_stage,
    parse_stage,
    parse_stages,
)
from mnas.arch.complexity import Complexity, complexity
from mnas.arch.spec import Architecture, BlockSpec, ClassifierSpec, StageSpec
from mnas.arch.walk import Layer, PlacedBlock, layers, unroll
from mnas.arch.zoo import ZOO, zoo

__all__ = [
    "ZOO",
    "Architecture",
    "BlockSpec",
    "ClassifierSpec",
    "Complexity",
    "Layer",
    "PlacedBlock",
    "StageSpec",
    "architecture_from_json",
    "architecture_to_json",
    "complexity",
    "format_stage",
    "layers",
    "parse_stage",
    "parse_stages",
    "unroll",
    "zoo",
]
