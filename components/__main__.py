"""Hosts the components for programs in every language."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])  # this folder would shadow other modules

from pulumi.provider.experimental import component_provider_host  # noqa: E402

from modelberth.components import LLMService  # noqa: E402

if __name__ == "__main__":
    component_provider_host(components=[LLMService], name="modelberth")
