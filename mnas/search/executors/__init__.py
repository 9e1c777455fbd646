"""Where candidates are evaluated: in this process, in processes beside it, or on a Ray cluster."""
