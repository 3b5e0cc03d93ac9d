"""Referrals: codes to share, who brought whom, and whether it counts."""
