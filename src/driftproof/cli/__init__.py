"""The command line: parse, call one function, print."""

from driftproof.cli.app import main

__all__ = ["main"]
