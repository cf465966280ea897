"""A program under a budget: its environment, its isolation, its process, and what it spends from."""
