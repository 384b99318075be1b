"""TabNet: a network that looks at few features at a time, and says which."""
