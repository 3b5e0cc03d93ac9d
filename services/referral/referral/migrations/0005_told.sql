-- By itself: it writes the whole table, and readers do not wait for it.
UPDATE referrals SET
    told = CASE WHEN state = 'confirmed' THEN 'confirmed' WHEN version > 1 THEN 'reversed' ELSE 'rejected' END,
    told_reason = CASE
        WHEN state = 'confirmed' THEN NULL
        WHEN version = 1 AND state = 'rejected' THEN reason
        WHEN version = 1 THEN 'not_first_order'
        WHEN reason IN ('below_minimum', 'cancelled', 'refunded', 'self_email', 'self_fingerprint') THEN reason
        WHEN reason = 'unpaid' THEN 'cancelled'
        ELSE 'superseded' END
WHERE version > 0;
