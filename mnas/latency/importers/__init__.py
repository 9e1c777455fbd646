"""Latency tables that others published, read into ours. `importer` is the way in; a format is one module."""
