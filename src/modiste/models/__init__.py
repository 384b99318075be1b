"""The recommenders: one file a model, all on the protocol of `modiste.evaluation`."""
