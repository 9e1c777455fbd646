"""A study: the folder of one search, with its logs, its winner and its observers."""
