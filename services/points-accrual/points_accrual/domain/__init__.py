"""The rules of the ledger: deterministic functions of values, without clock, input or chance."""
