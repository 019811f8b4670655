"""`python -m gateway` is `bascule`."""

from gateway.cli import main

if __name__ == "__main__":
    main()
