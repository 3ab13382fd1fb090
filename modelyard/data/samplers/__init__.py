"""Which training rows come in an epoch, in which order, and how often."""
