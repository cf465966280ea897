"""`spendguard explain`: the life of one call, line by line, with every sum computed again."""
