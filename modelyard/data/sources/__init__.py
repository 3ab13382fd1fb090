"""Places rows are read from, one file each."""
