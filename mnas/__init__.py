"""mnas designs a neural network for your phone: profile, search, scale, train, export, measure."""

__version__ = "0.1.0"
