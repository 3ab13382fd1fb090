"""What every room stands on: errors, names, randomness, files, events, the machine's facts."""
