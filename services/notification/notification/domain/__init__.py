"""What calls for a message, to whom, and when it is tried again. Pure."""
