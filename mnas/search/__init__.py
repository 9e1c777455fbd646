"""The search: options, constraints, objective, loop, finalists, early stopping and session."""
