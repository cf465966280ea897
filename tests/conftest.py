"""What holds for every test, wherever it is run from."""

import signal

signal.signal(signal.SIGINT, signal.default_int_handler)
"""A job that a script put into the background is born deaf to Ctrl-C, and so would be all that it starts."""
