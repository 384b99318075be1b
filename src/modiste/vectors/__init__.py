"""Content: article texts as vectors, reduced, indexed, and searched."""
