"""`python -m nx_dte` is the same as `nx-dte`."""

from nx_dte.cli import main

if __name__ == "__main__":
    main()
