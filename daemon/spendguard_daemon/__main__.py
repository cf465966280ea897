"""Where the daemon begins: `python -m spendguard_daemon`; what it is made of is put together in `daemon`."""

import gc


def main() -> int:
    """Load the daemon and run it; return its exit code."""
    gc.disable()  # loading leaves no garbage, and to look for some takes a fifth of the start
    from spendguard_daemon import daemon

    gc.freeze()  # nor is what was loaded looked through ever after
    gc.enable()
    return daemon.main()


if __name__ == "__main__":
    code = main()
    from spendguard_daemon.stopping import leave  # not before: it would be loaded while garbage is collected

    leave(code)
