"""SpendGuard's sidecar: hard budgets for the LLM spending of agents."""

__version__ = "0.3.0"
