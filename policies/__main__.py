"""The pack process. It serves until it is stopped, so nothing may import this file."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the pack runs in its own folder

from policies.analyzer import serve

serve()
