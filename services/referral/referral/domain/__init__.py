"""The rules of referrals: deterministic functions of values, without clock, input or chance."""
