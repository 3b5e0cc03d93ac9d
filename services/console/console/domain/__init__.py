"""When a version of a program may be published. Pure."""
