"""Bad input by the thousand: `python -m tools.fuzz`."""
