"""The search: the loop, its log, resume."""
