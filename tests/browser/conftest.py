"""The samples of the report's and the board's tests are shown in a browser here."""

import sys
from pathlib import Path

sys.path += [str(Path(__file__).parents[1] / room) for room in ("report", "board")]
