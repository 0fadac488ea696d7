"""Tables that instruments and laboratories write: one reader, which says what it understood and refuses to guess."""

from driftproof._lab_tables.columns import Column
from driftproof._lab_tables.options import TableOptions, parse_pairs
from driftproof._lab_tables.reader import read_table
from driftproof._lab_tables.table import WHOLE, Fault, LabTable
