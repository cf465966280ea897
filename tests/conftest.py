"""What holds for every test, wherever it is run from."""

import signal

import pytest

signal.signal(signal.SIGINT, signal.default_int_handler)
"""A job that a script put into the background is born deaf to Ctrl-C, and so would be all that it starts."""

signal.signal(signal.SIGHUP, signal.SIG_DFL)
"""What runs under nohup is born deaf to that one."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the looks of `watch` be written anew: see tests/support/looks.py."""
    parser.addoption("--new-looks", action="store_true", help="write tests/watch/looks anew")
