"""Learning from rows without a target beside those with one: one method a file, named in `table.py`."""
