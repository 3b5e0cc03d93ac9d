"""Mechanism without a loyalty noun: settings, clock, log, telemetry, database, outbox, bus, access, service."""
