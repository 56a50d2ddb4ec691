"""Which program really runs: images that cannot change unseen, of versions whose known holes are closed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from modelberth.catalog import catalog
from modelberth.catalog.advisories import Advisory, advisories
from modelberth.engines import serving
from modelberth.engines.base import image_parts
from modelberth.errors import UnknownName
from modelberth.findings import Finding, Level
from modelberth.manifests import Workload
from modelberth.node import Node
from modelberth.resources import Pod, Resource
from modelberth.rules.base import ALWAYS, IN_PROD, Profile, Rule, Settings, Severity, Threshold, softened, undecided
from modelberth.versions import key

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
_DOCKER_HUB = "docker.io"
_TRITON = "tritonserver"


def _pinned(resource: Resource, settings: Settings) -> Iterator[Finding]:
    """Every container of a pod that serves, and of the Jobs that our components write."""
    for pod in resource.pods:
        if pod.serves or resource.ours:
            yield from _of_pod(pod, settings)


def _of_pod(pod: Pod, settings: Settings) -> Iterator[Finding]:
    seen: set[str] = set()
    for container in pod.all_containers:
        image = container["image"]
        if image.unknown:
            yield from softened(pod.resource, [undecided("WH-06", PINNED.question, image)])
        elif image.text() and image.text() not in seen:
            seen.add(image.text())
            workload = next((each for each in pod.serving if each.path == container.path), None)
            yield from softened(pod.resource, _movable(image, workload, settings.profile))
            yield from _from_elsewhere(image, settings["registries"])
            yield from _malformed(image)


def _movable(image: Node, workload: Workload | None, profile: Profile) -> Iterator[Finding]:
    _, tag, digest = image_parts(image.text())
    if digest:
        return
    if tag in (None, "latest"):
        said = "has no tag" if tag is None else "has the tag latest"
        message = f"the image {said}: what runs changes without a change here"
    elif workload and workload.observed and workload.observed.version_assumed:
        message = "the image's tag names no version of the engine"
    elif profile is Profile.DEV:
        return
    else:
        message = "the image is named by a tag, which can be moved to another image: it has no digest"
    yield Finding("WH-06", image.path, message + _assumption(workload), _remedy(image, workload))


def _assumption(workload: Workload | None) -> str:
    observed = workload.observed if workload else None
    if observed is None or not observed.version_assumed:
        return ""
    name = catalog().engine(observed.engine).name
    return f"; the sizing figures assume {name} {observed.engine_version}"


def _remedy(image: Node, workload: Workload | None) -> str:
    if workload is None or workload.engine is None:
        return "name it by its digest: image@sha256:..., as docker buildx imagetools inspect prints it"
    facts = catalog().engine(workload.engine)
    if workload.observed and not workload.observed.version_assumed:
        return "append its digest (@sha256:...), as docker buildx imagetools inspect prints it; image_digest in a spec"
    on_host = "cpu" in facts.images and (workload.on_cpu_image or workload.gpus == 0)
    return f"image: {facts.image('cpu' if on_host else 'cuda')}, with its digest"


def _malformed(image: Node) -> Iterator[Finding]:
    _, at, digest = image.text().partition("@")
    if at and not _DIGEST.fullmatch(digest):
        message = "what follows @ is no digest: the kubelet refuses the image's name"
        yield Finding("WH-06", image.path, message, "@sha256: and 64 hexadecimal digits")
    if "://" in image.text() or any(letter.isspace() for letter in image.text()):
        message = "is no name of an image, which has neither a scheme nor blanks: the kubelet refuses it"
        yield Finding("WH-06", image.path, message, "registry/repository:tag")


def _from_elsewhere(image: Node, registries: Iterable[str]) -> Iterator[Finding]:
    allowed = [each.rstrip("/") for each in registries if each]
    repository, _, _ = image_parts(image.text())
    whole = _whole(repository)
    if allowed and not any(whole == each or whole.startswith(f"{each}/") for each in allowed):
        message = "the image comes from a registry that is not on the list of those allowed"
        yield Finding("WH-06", image.path, message, f"an image of {' or '.join(allowed)}")


def _whole(repository: str) -> str:
    """A repository with its registry: Docker Hub is meant where none is named."""
    head, slash, _ = repository.partition("/")
    if slash and ("." in head or ":" in head or head == "localhost"):
        return repository
    return f"{_DOCKER_HUB}/{repository}" if slash else f"{_DOCKER_HUB}/library/{repository}"


def _safe(resource: Resource, settings: Settings) -> Iterator[Finding]:
    for pod in resource.pods:
        for workload in pod.serving:
            image = pod.container_at(workload)["image"]
            if image.unknown and workload.engine:
                yield undecided("CS-21", SAFE.question, image)
            running = _running(workload, image)
            if running:
                yield from _holes(workload, image, *running)
        known = {workload.path for workload in pod.serving}
        for container in pod.containers:
            release = None if container.path in known else _triton(container["image"])
            if release:
                yield from _holes(None, container["image"], "triton", release, "Triton")


def _running(workload: Workload, image: Node) -> tuple[str, str, str] | None:
    """(engine as advisories call it, its version, its name), None where the image does not tell the version."""
    if image_parts(image.text())[0].rsplit("/", 1)[-1] == _TRITON:
        release = _triton(image)
        return ("triton", release, "Triton") if release else None
    if workload.engine is None:
        return None
    facts = catalog().engine(workload.engine)
    observed = workload.observed
    version, assumed = (
        (observed.engine_version, observed.version_assumed) if observed else serving.version_of(facts, image.text())
    )
    return None if assumed else (facts.id, version, facts.name)


def _triton(image: Node) -> str | None:
    """The release of Triton that an image is; with another backend it serves models that are none of language too."""
    repository, tag, _ = image_parts(image.text())
    release = re.match(r"\d\d\.\d\d", tag or "")
    return release[0] if release and repository.rsplit("/", 1)[-1] == _TRITON else None


def _holes(workload: Workload | None, image: Node, engine: str, version: str, name: str) -> Iterator[Finding]:
    found = [each for each in advisories() if each.engine == engine and _open_in(each, version)]
    found = [each for each in found if each.only_with != "vision" or (workload and _sees(workload))]
    if not found:
        return
    found.sort(key=lambda each: (each.severity != "critical", -each.published.toordinal()))
    worst, safe = found[0], max((each.fixed_in for each in found), key=key)
    others = [each.id for each in found[1:]]
    more = f"; also {', '.join(others)}" if others else ""
    message = f"{name} {version} has a known hole: {worst.summary} ({worst.id}, {worst.severity}{more})"
    level = Level.ERROR if worst.severity == "critical" else Level.WARNING
    yield Finding("CS-21", image.path, message, f"{name} {safe} or later", level)


def _open_in(advisory: Advisory, version: str) -> bool:
    return (advisory.since is None or key(advisory.since) <= key(version)) and key(version) < key(advisory.fixed_in)


def _sees(workload: Workload) -> bool:
    """Whether the model may be one that takes images: all but those that the catalog knows to take none."""
    named = workload.observed.model if workload.observed else None
    try:
        return named is None or catalog().model(named).has_vision is not False
    except UnknownName:
        return True


PINNED = Rule(
    id="WH-06",
    name="image-pinned",
    title="Images are named by their digest, and come from allowed registries",
    question="whether the image is pinned",
    why="A tag can be moved: what was reviewed, sized and tested is then not what a restarted pod runs.",
    remediation="Name a version with its digest; in a spec: image_digest.",
    severity=Severity.MEDIUM,
    levels=IN_PROD,
    source="CKV_K8S_14, CKV_K8S_43 (checkov); latest-tag (kube-linter); k8simagedigests (Gatekeeper)",
    check=_pinned,
    thresholds=(
        Threshold(
            "registries",
            (),
            "Registries, or folders of one, that images may come from; empty: any. Docker Hub: docker.io.",
        ),
    ),
)
SAFE = Rule(
    id="CS-21",
    name="engine-patched",
    title="The engine's version has no known critical hole",
    question="whether the engine's version has known holes",
    why="Servers of models take requests, files and code from elsewhere; holes in old versions are used within days.",
    remediation="Use a version in which the hole is closed; the finding names the first.",
    severity=Severity.CRITICAL,
    levels=ALWAYS,
    source="advisories of the engines: modelberth/catalog/advisories.yaml",
    check=_safe,
)
RULES = (PINNED, SAFE)
