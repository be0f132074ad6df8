"""`python -m hlposmon` is the command `hlposmon`."""

from hlposmon.cli.entry import main

if __name__ == "__main__":
    main()
