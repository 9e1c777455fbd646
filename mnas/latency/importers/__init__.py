"""Importing published latency tables; `importer` has the entry point."""
