"""Evaluators: from an architecture to an accuracy; `registry` says which there are."""
