"""notification: tells members, by e-mail, and the merchant's systems, by signed webhooks, what happened."""
