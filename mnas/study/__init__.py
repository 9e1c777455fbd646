"""A study: the folder of one search, its logs, its winner, and who watches it."""
