"""From candidates to an order: features, rankers, their ensemble, rules, and reasons."""
