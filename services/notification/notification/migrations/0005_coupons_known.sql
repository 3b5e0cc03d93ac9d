-- By itself: it reads the table, and readers do not wait for it. Of what was sent the coupon is not known any more: what was
-- given up before something else of its member is taken for an earlier step of that coupon.
UPDATE messages SET coupon_id = (parameters::json ->> 'coupon_id')::uuid
WHERE channel = 'webhook' AND state IN ('due', 'failed') AND parameters <> '{}';

UPDATE messages m SET parameters = '{}'
WHERE channel = 'webhook' AND state = 'failed' AND EXISTS (
    SELECT FROM messages b WHERE b.member_id = m.member_id AND b.channel = 'webhook' AND b.state = 'sent'
        AND b.template <> 'reward.issued' AND coalesce(b.number, 0) >= coalesce(m.number, 0));

CREATE INDEX messages_of_coupon ON messages (coupon_id) WHERE coupon_id IS NOT NULL;
