"""Sources propose articles; the merge keeps the best of them for each customer."""
