"""What is learned: loss, metrics, and how outputs become answers. One task a file."""
