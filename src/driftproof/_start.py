"""The start of the command line: Ctrl-C ends it quietly also while modules are imported, which takes seconds."""

import os
import signal


def be_quiet() -> None:
    """Let Ctrl-C end the process at once: nothing has begun that could be lost."""
    signal.signal(signal.SIGINT, lambda *_: os._exit(130))


def main() -> None:
    """Import the command line, and run it."""
    be_quiet()
    from driftproof._cli.app import main as run

    signal.signal(signal.SIGINT, signal.default_int_handler)
    run()
