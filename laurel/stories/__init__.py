"""Stories: what happens to members of a program, as a merchant would write it down, played on the real core."""
