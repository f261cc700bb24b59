"""How much is tried: everything by `make faults`, samples with fewer `KILLS` in the environment."""

import os

KILLS = int(os.environ.get("KILLS", "20"))
ALL = 500  # kills from which nothing is left out
SAMPLED = 5  # else one case of so many is tried, where there are hundreds


def every() -> int:
    """One case of how many is tried."""
    return 1 if KILLS >= ALL else SAMPLED
