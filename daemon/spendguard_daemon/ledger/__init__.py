"""The ledger: who may spend what, what is held, what was spent; durable, provable, readable with `less`."""
