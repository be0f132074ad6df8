"""`sleepers` and `supervision_stage` are imported by name: their folder must be on the path."""

import sys
from pathlib import Path

HERE = str(Path(__file__).parent)
if HERE not in sys.path:
    sys.path.insert(0, HERE)
