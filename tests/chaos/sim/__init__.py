"""One process: real handlers on real PostgreSQL, Kafka in memory, and faults at every moment there is."""
