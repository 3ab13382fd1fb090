"""Families of models, one file each, on shared blocks."""
