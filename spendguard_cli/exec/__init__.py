"""A program under a budget: its environment, its isolation, its process, and the account that it spends from."""
