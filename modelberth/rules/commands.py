"""What a server's command line says about things that sizing does not depend on."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from modelberth.catalog import catalog
from modelberth.engines import ENGINES, flags, serving
from modelberth.engines.shells import SERVERS
from modelberth.manifests import Workload
from modelberth.node import Node

_FROM_HUB = re.compile(
    r"\bhf\s+download\b|\bhuggingface-cli\s+download\b|\bsnapshot_download\b|\bhf_hub_download\b|"
    r"\bgit\s+(lfs\s+)?clone\b.*huggingface|/resolve/|\bfrom_pretrained\b",
    re.DOTALL,
)
"""How weights are fetched from the Hugging Face hub, where a commit can be named."""
_FROM_ANYWHERE = re.compile(r"\bollama\s+pull\b|modelscope|huggingface\.co|huggingface-cli")


def fetches_from_hub(container: Node) -> bool:
    """Whether what a container starts fetches weights of a repository, as far as its words are legible."""
    return bool(_FROM_HUB.search(spoken(container)))


def fetches_weights(container: Node) -> bool:
    """The same from any place, commit or not."""
    return fetches_from_hub(container) or bool(_FROM_ANYWHERE.search(spoken(container)))


def spoken(container: Node) -> str:
    """The words of a container's command line, as far as they are known."""
    return " ".join(word.text() for key in ("command", "args") for word in container[key].elements())


def arguments(workload: Workload, container: Node) -> flags.Parsed | None:
    """The command line of a serving container, and the variables that its engine takes for arguments."""
    observed = workload.observed
    if observed is None or container.unknown:
        return None
    facts = catalog().engine(observed.engine)
    table = serving.table_of(facts, observed.engine_version)
    process = flags.started(container.value)
    short = getattr(ENGINES[observed.engine], "abbreviates", False)
    parsed = flags.parse(_behind_the_program(process.words), table, abbreviations=short)
    for name, value in process.env.items():
        if name in table.env:
            parsed.values.setdefault(table.env[name], value)
    return parsed


def _behind_the_program(words: Sequence[flags.Word]) -> Sequence[flags.Word]:
    at = next((i for i, word in enumerate(words) if isinstance(word, str) and word.rsplit("/", 1)[-1] in SERVERS), -1)
    return words[at + 1 :]


def unknown_words(container: Node) -> Iterator[Node]:
    """Words of a command line, and values of variables, that are only known after apply."""
    for words in (container["command"], container["args"], container["env"]):
        if words.unknown:
            yield words
            return
    for words in (container["command"], container["args"]):
        yield from (word for word in words.elements() if word.unknown)
    for entry in container["env"].elements():
        if entry.unknown:
            yield entry
        elif entry["value"].unknown:
            yield entry["value"]


__all__ = ["arguments", "fetches_from_hub", "fetches_weights", "spoken", "unknown_words"]
