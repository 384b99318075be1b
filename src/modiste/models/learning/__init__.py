"""What networks have in common: the training loop, losses, negatives, the popularity prior."""
