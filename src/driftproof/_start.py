"""The start of the command line, and the signals that end it.

Ctrl-C ends it quietly also while modules are imported, which takes seconds.
"""

import os
import signal


def be_quiet() -> None:
    """Let Ctrl-C end the process at once: nothing has begun that could be lost."""
    signal.signal(signal.SIGINT, lambda *_: os._exit(130))


def _terminate(*_: object) -> None:
    raise SystemExit(128 + signal.SIGTERM)


def main() -> None:
    """Import the command line, and run it."""
    be_quiet()
    from driftproof._cli.app import main as run

    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:  # batch systems send it: end as after Ctrl-C
            signal.signal(signal.SIGTERM, _terminate)
        run()
    except KeyboardInterrupt:  # between two lines, or while another end was being handled
        raise SystemExit(130) from None
