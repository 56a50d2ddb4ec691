"""What is loaded: weights of a fixed revision, in a format that holds no code, and no code of a repository."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from modelberth.engines import flags
from modelberth.findings import Finding
from modelberth.manifests import Workload
from modelberth.node import Node
from modelberth.observed import UNKNOWN
from modelberth.resources import Pod, Resource
from modelberth.rules.base import ADVICE, ALWAYS, IN_PROD, Rule, Settings, Severity, Threshold, undecided
from modelberth.rules.commands import arguments, fetches_from_hub, spoken, unknown_words

_COMMIT = re.compile(r"[0-9a-f]{40}")
_SOMEWHERE = re.compile(r"(?<![0-9a-zA-Z])[0-9a-f]{40}(?![0-9a-zA-Z])")
_NAMES_A_REVISION = re.compile(r".*(REV|COMMIT|SHA|VERSION).*", re.IGNORECASE)
_PICKLED = {"vllm": frozenset({"pt", "npcache"}), "sglang": frozenset({"pt", "npcache"})}
"""Values of --load-format that read pickled files (vllm/config/load.py, sglang/srt/configs/load_config.py)."""
_REMEDY = "the revision as the 40 hexadecimal digits of a commit"
_TAKES_REVISION = frozenset({"sglang", "tensorrt_llm", "tgi", "vllm"})


def _fixed(resource: Resource, settings: Settings) -> Iterator[Finding]:
    for pod in resource.pods:
        for workload in pod.serving:
            container = pod.container_at(workload)
            parsed = arguments(workload, container)
            if parsed is not None:
                yield from _revision(workload, container, parsed)
                yield from _format(workload, container, parsed)
        yield from _downloads(pod)


def _revision(workload: Workload, container: Node, parsed: flags.Parsed) -> Iterator[Finding]:
    """A server that loads from the hub says which commit; one that loads from a path is filled by someone else."""
    observed = workload.observed
    if observed is None or parsed.opaque or not _from_hub(workload, parsed):
        return
    if observed.engine not in _TAKES_REVISION:
        message = "it loads whatever its repository holds when it starts: this engine takes no revision"
        yield Finding("CS-19", workload.arguments_path, message, "download the file of a commit into a volume first")
        return
    stated = parsed.values.get("revision")
    if stated is UNKNOWN:
        node = next(unknown_words(container), None)
        if node:
            yield undecided("CS-19", FIXED.question, node)
    elif not isinstance(stated, str):
        message = "it loads whatever the model's repository holds when it starts"
        yield Finding("CS-19", workload.arguments_path, message, _REMEDY)
    elif not _COMMIT.fullmatch(stated):
        message = "the revision is a branch, a tag or an abbreviation: others may move it"
        yield Finding("CS-19", workload.arguments_path, message, _REMEDY)


def _from_hub(workload: Workload, parsed: flags.Parsed) -> bool:
    """Whether a repository is named to the server itself, and no path."""
    observed = workload.observed
    if observed is None:
        return False
    if observed.engine == "llamacpp":
        url = parsed.values.get("model_url")
        return isinstance(parsed.values.get("hf_repo"), str) or (isinstance(url, str) and not _SOMEWHERE.search(url))
    named = [parsed.values.get(name) for name in ("model", "model_path", "model_id")]
    return observed.model is not None and observed.model in [*named, *parsed.positional, *parsed.leftover]


def _format(workload: Workload, container: Node, parsed: flags.Parsed) -> Iterator[Finding]:
    stated = parsed.values.get("load_format")
    if stated is UNKNOWN and workload.engine in _PICKLED:
        node = next(unknown_words(container), None)
        if node:
            yield undecided("CS-19", "whether the weights are pickled", node)
    if (
        workload.engine
        and isinstance(stated, str)
        and stated.lower() in _PICKLED.get(workload.engine, frozenset[str]())
    ):
        message = "it loads pickled files, which run code as they are read"
        yield Finding("CS-19", workload.arguments_path, message, "--load-format safetensors, from such files")


def _downloads(pod: Pod) -> Iterator[Finding]:
    """Containers that fetch weights: nothing else in them may say which commit."""
    serving = {workload.path for workload in pod.serving}
    for container in pod.all_containers:
        if container.unknown or container.path in serving:
            continue
        if not fetches_from_hub(container):
            continue
        named = [e["value"] for e in container["env"].elements() if _NAMES_A_REVISION.fullmatch(e["name"].text())]
        if _SOMEWHERE.search(spoken(container)) or any(_COMMIT.fullmatch(value.text()) for value in named):
            continue
        open_ended = next(unknown_words(container), None)
        if open_ended:
            yield undecided("CS-19", FIXED.question, open_ended)
        else:
            path = container["args"].path if container["args"].stated else container["command"].path
            message = "it downloads whatever the repository holds that day: no commit is named"
            yield Finding("CS-19", path, message, _REMEDY)


def _trusted(resource: Resource, settings: Settings) -> Iterator[Finding]:
    allowed = {str(each) for each in settings["allowed"]}
    for pod in resource.pods:
        for workload in pod.serving:
            container = pod.container_at(workload)
            parsed = arguments(workload, container)
            if parsed is None:
                continue
            stated = parsed.values.get("trust_remote_code")
            if stated is UNKNOWN or (stated is None and parsed.opaque):
                node = next(unknown_words(container), None)
                if node:
                    yield undecided("CS-20", TRUSTED.question, node)
            elif _is_on(stated) and _named(workload, parsed) not in allowed:
                message = "the server runs Python of the model's repository, with all that its pod may do"
                remedy = "leave --trust-remote-code out, or allow this model@commit by name (allowed)"
                yield Finding("CS-20", workload.arguments_path, message, remedy)


def _is_on(stated: Any) -> bool:
    """A switch, or a variable as clap reads it: off for these words only."""
    if isinstance(stated, str):
        return stated.strip().lower() not in ("", "0", "f", "false", "n", "no", "off")
    return stated is True


def _named(workload: Workload, parsed: flags.Parsed) -> str:
    model = workload.observed.model if workload.observed else None
    revision = parsed.values.get("code_revision") or parsed.values.get("revision")
    return f"{model}@{revision}"


FIXED = Rule(
    id="CS-19",
    name="weights-fixed",
    title="Weights are those of one commit, in a format without code",
    question="whether the weights are those of one commit",
    why="A repository may be changed or taken over by its name; pickled files run code as they are loaded.",
    remediation="State the commit (40 hexadecimal digits), serve safetensors or GGUF.",
    severity=Severity.HIGH,
    levels=IN_PROD,
    foreign=ADVICE,
    source="Unit 42, Model Namespace Reuse (2025); JFrog and nullifAI, pickled models on the hub",
    check=_fixed,
)
TRUSTED = Rule(
    id="CS-20",
    name="no-remote-code",
    title="No code of a model's repository runs",
    question="whether code of the model's repository runs",
    why="Whoever can change the repository runs code on the GPU node, with the credentials of its pod.",
    remediation="Leave trust_remote_code off, or allow single models at a commit.",
    severity=Severity.CRITICAL,
    levels=ALWAYS,
    source="vLLM, docs/usage/security.md; versions that ignore it being off are CS-21's matter",
    check=_trusted,
    thresholds=(Threshold("allowed", (), "Models whose code may run, as model@commit."),),
)
RULES = (FIXED, TRUSTED)
