"""When a version of a program may be published, and the segments of members. Pure."""
