"""SASRec: a causal transformer over what a customer bought, in the order they bought it."""
