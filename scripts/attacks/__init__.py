"""The permanent attack bench: one module a subject.  `scripts/attack.py` runs it.

Sends real requests to a server that it starts on loopback, with folders of its own, and stops.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# The bench is run as a script, whose folder is on the path and not the project's.
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))
