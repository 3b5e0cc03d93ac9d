-- The coupon that a webhook tells a step of. Of what was given up, `parameters` are what could still be sent: they go as soon as
-- a later step of the coupon is tried, and nothing is told out of order.
ALTER TABLE messages ADD COLUMN coupon_id uuid;
