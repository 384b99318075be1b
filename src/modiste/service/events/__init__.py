"""Live events: what customers look at, put into the cart, buy and send back, kept durably."""
