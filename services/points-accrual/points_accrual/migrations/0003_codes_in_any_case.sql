-- Shops take codes in any case: what differs only in case from a code that is known is no code of its own.

CREATE INDEX coupon_codes_in_any_case ON coupon_codes (program_id, upper(code));

-- Those that came in before are not drawn any more: no table takes the second of two coupons with one code.
UPDATE coupon_codes c SET drawn = true
WHERE NOT drawn AND (
    EXISTS (SELECT FROM coupon_codes k
            WHERE k.program_id = c.program_id AND upper(k.code) = upper(c.code) AND k.code <> c.code
              AND (k.drawn OR k.code < c.code))
    OR EXISTS (SELECT FROM coupons k WHERE k.program_id = c.program_id AND upper(k.code) = upper(c.code))
);
