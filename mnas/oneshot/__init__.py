"""Weight sharing: supernets, how they are trained, and what searches in them."""
