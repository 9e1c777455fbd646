"""Searches: from options to a winner, with the log, the executors and the verdict; studies and their comparison."""
