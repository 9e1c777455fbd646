"""Block libraries: for every block of a teacher, alternatives that were trained alone to do what that block does."""
