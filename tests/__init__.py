"""Tests: unit, contract and architecture need nothing; the others start real servers."""
