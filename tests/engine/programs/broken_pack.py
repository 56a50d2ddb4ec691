"""The pack with a rule that fails on everything, and names what it was given."""

import runpy
from pathlib import Path
from typing import Any

from modelberth.rules import ALL

PACK = Path(__file__).with_name("pack.txt").read_text(encoding="utf-8")


def broken(resource: Any, settings: Any) -> Any:
    raise KeyError(str(resource.properties))


object.__setattr__(next(rule for rule in ALL if rule.id == "SZ-03"), "check", broken)
runpy.run_path(PACK, run_name="__main__")
