"""SASRec: self-attention over what a customer bought, in the order of the days."""
