"""After a restore."""
