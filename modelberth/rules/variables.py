"""Variables that are almost called like one that the engine reads."""

from __future__ import annotations

from collections.abc import Iterator

from modelberth.engines.flags import FlagTable
from modelberth.engines.shells import environment
from modelberth.findings import Finding, Level
from modelberth.node import Node, fields_of
from modelberth.observed import Observed
from modelberth.rules.relations import resembles

_READ = {
    "ollama": frozenset(
        f"OLLAMA_{name}"
        for name in (
            *("CONTEXT_LENGTH", "FLASH_ATTENTION", "HOST", "KEEP_ALIVE", "KV_CACHE_TYPE", "LOAD_TIMEOUT"),
            *("MAX_LOADED_MODELS", "MAX_QUEUE", "MODELS", "NOPRUNE", "NO_CLOUD", "NUM_PARALLEL", "ORIGINS"),
        )
    ),
    "sglang": frozenset({"SGLANG_API_KEY"}),
    "vllm": frozenset({"VLLM_API_KEY"}),
}
"""Variables that our components set, beside those of flags: envconfig/config.go of Ollama, vllm/envs.py."""
_READ_BY_ALL = frozenset(["HF_ENDPOINT", "HF_HOME", "HF_HUB_OFFLINE", "HF_TOKEN", "HF_TOKEN_PATH", "TMPDIR"])
"""huggingface_hub, constants.py; tempfile.py."""


def misspelt(
    rule_id: str, container: Node, observed: Observed | None, table: FlagTable | None, level: Level
) -> Iterator[Finding]:
    """A variable that nothing reads, and that one letter or two make one that the engine, or a download, does."""
    of_engine = _READ.get(observed.engine if observed else "", frozenset[str]())
    known = frozenset(table.env if table else ()) | of_engine | _READ_BY_ALL
    names = environment(fields_of(container.value))
    for name in names:
        near = next((each for each in sorted(known - names.keys()) if _almost(name, each)), None)
        if name not in known and near:
            message = f"nothing reads the variable; {near} is one that the engine does"
            yield Finding(rule_id, f"{container.path}.env", message, f"{near}, if that is meant", level)


def _almost(name: str, known: str) -> bool:
    """Whether a name differs by a letter or two that make no word: HF_HOMEx, OLLAMA_HOTS."""
    if name.startswith(f"{known}_") or known.startswith(f"{name}_") or name.count("_") != known.count("_"):
        return False
    return len(name) > 5 and resembles(name, known)
