"""``python -m driftproof`` runs the command line."""

import sys

from driftproof._start import main

if __name__ == "__main__":
    sys.argv[0] = "driftproof"  # as records note the command, and messages name it
    main()
