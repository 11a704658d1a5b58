"""How often a proof is repeated: a reduced count for everyday, the full one in `make soak`."""

import os

SOAK = os.environ.get("CHITRAM_SOAK") == "1"


def count(reduced: int, full: int) -> int:
    """`full` when the soak runs, else `reduced`."""
    return full if SOAK else reduced
