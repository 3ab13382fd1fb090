"""The board: all runs of a folder as a live page, while they train and after."""
