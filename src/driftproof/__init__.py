"""driftproof: what a trained network does on analog in-memory hardware, chip after chip, year after year."""
