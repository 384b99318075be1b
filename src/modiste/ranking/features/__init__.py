"""What rankers see of a candidate, in groups that can be left out together."""
