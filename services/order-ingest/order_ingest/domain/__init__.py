"""The rules of the edge: reading payloads, merging orders, telling people apart. Pure functions of values."""
