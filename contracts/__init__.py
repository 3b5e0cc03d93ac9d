"""The wire: all that crosses a service's border. Imports pydantic and the standard library only."""
