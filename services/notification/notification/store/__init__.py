"""Every SQL statement of the service: `batch`, sending in `queue`, the member's side in `members`, `endpoints`."""

from .adopting import adopt_finished
from .batch import load, save

__all__ = ["adopt_finished", "load", "save"]
