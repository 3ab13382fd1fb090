"""The artifact: weights, fitted inputs, spec, evidence and digests. The only hand-off between stages."""
