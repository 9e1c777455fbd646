"""Data, training, and the evaluators that judge a candidate."""
