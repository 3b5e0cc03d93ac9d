"""The rules of standings: deterministic functions of values, without clock, input or chance."""
