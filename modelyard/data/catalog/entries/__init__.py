"""One file a data set: its entry, and the function that turns what was downloaded into plain files."""
