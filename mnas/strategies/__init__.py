"""Search strategies: each proposes architectures (`ask`) and learns from trials (`tell`)."""
