"""Latency tables, and what they predict."""
