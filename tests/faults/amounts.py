"""How much is tried: everything by `make faults`, samples with fewer `KILLS` in the environment."""

import os

KILLS = int(os.environ.get("KILLS", "20"))
ALL = 500  # kills from which nothing is left out
EVERY = 1 if KILLS >= ALL else 5  # of long lists, one case of so many
