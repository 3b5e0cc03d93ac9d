-- The memberships as last announced: a function of membership_coupons, kept to see what changes.
ALTER TABLE members ADD COLUMN memberships jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(memberships) = 'array');

-- Coupons for memberships. That one came back may be learnt before that it was issued.
CREATE TABLE membership_coupons (
    member_id       uuid NOT NULL REFERENCES members,
    coupon_id       uuid NOT NULL,
    membership_id   text,
    days            integer CHECK (days > 0),
    issued_at       timestamptz,
    returned_at     timestamptz,
    returned_points bigint CHECK (returned_points >= 0),
    void            boolean,
    PRIMARY KEY (member_id, coupon_id),
    CHECK (num_nulls(membership_id, days, issued_at) IN (0, 3)),
    CHECK (num_nulls(returned_at, returned_points, void) IN (0, 3)),
    CHECK (issued_at IS NOT NULL OR returned_at IS NOT NULL)
);
