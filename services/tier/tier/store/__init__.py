"""Every SQL statement of the service."""

from .republishing import read_announced
from .standings import World, load, load_due, read_changes, read_facts, save, save_changes

__all__ = ["World", "load", "load_due", "read_announced", "read_changes", "read_facts", "save", "save_changes"]
