"""`python -m reelvec` is the command `reelvec`."""

from reelvec.cli import main

if __name__ == "__main__":
    main()
