"""Prices: rate cards, exact cost, and the signed documents that carry them."""
