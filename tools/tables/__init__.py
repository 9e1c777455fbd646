"""The ready-made latency tables in `latency_tables/`: measuring them, and their index."""
