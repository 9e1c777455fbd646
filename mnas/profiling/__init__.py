"""Profiling devices into latency tables, and measuring files."""
