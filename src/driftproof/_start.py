"""The start of the command line: Ctrl-C ends it quietly also while modules are imported, which takes seconds."""

import os
import signal


def main() -> None:
    """Import the command line, and run it."""
    before = signal.signal(signal.SIGINT, lambda *_: os._exit(130))  # nothing has begun that could be lost
    from driftproof._cli.app import main as run

    signal.signal(signal.SIGINT, before)
    run()
