"""How a training is written down so that it can go on: checkpoints, snapshots of the state, and when to save."""
