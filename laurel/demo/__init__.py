"""A shop, played: seeded customers, orders and mishaps as Shopify would tell them, and checks of what came of it."""
