"""Kills at random moments, and memory over trials: `python -m tools.soak`."""
