"""Architectures as Keras models, and as fast functions for short training."""
