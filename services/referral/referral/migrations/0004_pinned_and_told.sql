-- The version of the program that judges an order; 0: none covered its time so far, or it was judged before this was kept.
ALTER TABLE orders ADD COLUMN program_version integer NOT NULL DEFAULT 0 CHECK (program_version >= 0);

-- What a referral was announced as last: the verdict may have changed since in a way that nobody needs to know.
ALTER TABLE referrals
    ADD COLUMN told text CHECK (told IN ('confirmed', 'rejected', 'reversed')),
    ADD COLUMN told_reason text,
    ADD CHECK (told IS NULL OR (told = 'confirmed') = (told_reason IS NULL)) NOT VALID;
