"""Where the time and memory of a training step go, and what to change."""
