"""The wire: every event, topic and document that crosses a service's border. Imports pydantic and the standard library only."""
