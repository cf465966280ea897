"""The checks, a file for each group; each says what it looks at, and knows nothing of the others."""
