"""Every SQL statement of the service: `batch`, sending in `queue`, the member's side in `members`, `endpoints`."""

from .batch import load, save

__all__ = ["load", "save"]
