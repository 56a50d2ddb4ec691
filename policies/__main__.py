"""The pack process. PolicyPack() serves until it is stopped, so nothing may import this file."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the pack runs in its own folder

from pulumi_policy import EnforcementLevel, PolicyPack

from policies.pack import NAME, POLICIES

PolicyPack(name=NAME, policies=POLICIES, enforcement_level=EnforcementLevel.MANDATORY)
