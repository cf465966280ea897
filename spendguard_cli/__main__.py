"""`python -m spendguard_cli`: the same program as the console script `spendguard`."""

from spendguard_cli.entry import main

if __name__ == "__main__":
    main()
