"""Training within memory: batches that fit, small optimizer states, and words for when memory is full."""
