"""Kinds of value, one file each: read · fit · encode · collate · show."""
