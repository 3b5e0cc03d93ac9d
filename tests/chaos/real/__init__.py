"""Real processes, real Kafka, PostgreSQL, SMTP and HTTP under traffic, while everything around them fails."""
