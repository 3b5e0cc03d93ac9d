"""A whole Laurel as processes, and what is done to it."""
