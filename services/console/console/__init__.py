"""console: what the merchant sees and decides. For now it owns the programs."""
