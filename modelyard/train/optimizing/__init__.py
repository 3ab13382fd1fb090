"""The optimizers, and what makes their steps quick or small."""
