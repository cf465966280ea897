"""SpendGuard's command line: it speaks HTTP to the sidecar and starts it when needed."""
