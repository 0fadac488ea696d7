"""Record → tables, figures and one HTML file; needs no torch."""

from driftproof._reporting.cards import write_card
from driftproof._reporting.comparisons import compare
from driftproof._reporting.export_tables import export
from driftproof._reporting.report_folder import report
from driftproof._reporting.statistics import fifth_percentile, summarise
