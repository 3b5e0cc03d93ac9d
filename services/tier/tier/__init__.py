"""Standings: which tier a member has, since when, and until when without new orders."""
