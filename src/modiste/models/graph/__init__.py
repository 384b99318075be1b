"""The graph of customers and articles, and what is learned from it."""
