"""`spendguard explain`: the life of one call, line by line."""
