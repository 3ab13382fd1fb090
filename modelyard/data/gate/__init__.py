"""The data gate: what is wrong with rows, found before anything is learned from them."""
