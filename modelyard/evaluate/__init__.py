"""How good a model is, and how sure one can be of it: metrics with intervals, baselines, confusion, mistakes."""
