"""The command line: parse, call one function, print."""

from driftproof._cli.app import main
