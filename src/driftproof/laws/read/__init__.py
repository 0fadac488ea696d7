"""What is added at every read. A new law: a file here, and its line below."""

from driftproof.laws.read.law import NEW_EVERY, NewEvery, Read, ReadLaw
from driftproof.laws.read.log10_g import LogConductanceRead
from driftproof.laws.read.one_over_f import OneOverFRead
from driftproof.laws.read.saturating import SaturatingRead

__all__ = [
    # What all have
    "NEW_EVERY",
    "NewEvery",
    "Read",
    "ReadLaw",
    # The laws
    "LogConductanceRead",
    "OneOverFRead",
    "SaturatingRead",
]
