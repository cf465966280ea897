"""What the command line does with a ledger's folder itself, without a sidecar: read it, check it, copy it."""
