"""``python -m driftproof`` runs the command line."""

from driftproof._start import main

if __name__ == "__main__":
    main()
