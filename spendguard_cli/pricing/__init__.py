"""Signed prices from the command line: make and check documents, serve them, compute ended calls again."""
