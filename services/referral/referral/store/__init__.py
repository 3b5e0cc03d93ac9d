"""Every SQL statement of the service."""

from .loading import load, load_unseen
from .reading import as_friend, brought, counts, find_member
from .saving import save

__all__ = ["as_friend", "brought", "counts", "find_member", "load", "load_unseen", "save"]
