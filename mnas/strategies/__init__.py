"""Search strategies: each one proposes architectures (`ask`) and learns from trials (`tell`)."""
