"""`python -m cluster` is the command `tocsin`."""

from cluster.cli import main

if __name__ == "__main__":
    main()
