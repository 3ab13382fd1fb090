"""The readable loop and what it steps with: optimizers, schedules, precision, events."""
