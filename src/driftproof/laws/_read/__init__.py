"""Laws of read noise. To add one, write a file here and import it below."""

from driftproof.laws._read.law import Read, ReadLaw
from driftproof.laws._read.log10_g import LogConductanceRead
from driftproof.laws._read.one_over_f import OneOverFRead
from driftproof.laws._read.saturating import SaturatingRead
