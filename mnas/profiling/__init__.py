"""Measuring a device into a latency table."""
