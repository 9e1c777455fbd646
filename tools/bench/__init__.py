"""Benchmarks: each module with a `main` is a program, and asserts nothing."""
