"""``python -m neurosal`` is the command line."""

from neurosal.cli import main

if __name__ == "__main__":
    main()
