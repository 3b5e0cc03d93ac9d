"""The command line and the servers that Laurel brings with it."""
