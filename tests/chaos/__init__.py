"""Everything is made to fail, on purpose and on record: nothing may be lost, doubled or out of order."""
