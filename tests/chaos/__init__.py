"""Faults of every kind, and the proof that nothing is lost or done twice."""
