"""Scaling a network: EfficientNet's compound scaling by formula, by published row, by a grid, and to a latency."""

from mnas.scaling.compound import PUBLISHED, Coefficients, scale_by_formula, scale_published

__all__ = ["PUBLISHED", "Coefficients", "scale_by_formula", "scale_published"]
