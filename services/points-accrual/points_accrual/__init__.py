"""The ledger: what members earn, keep, lose and spend. Points are money here."""
