"""Probes that ask where the server answers, and for what it answers only when it is ready."""

from __future__ import annotations

from collections.abc import Iterator

from modelberth.catalog import catalog
from modelberth.engines.listening import Listening, listening
from modelberth.findings import Finding, Level
from modelberth.manifests import COMPUTES_AND_ENDS
from modelberth.node import Node, fields_of
from modelberth.resources import Pod, Resource
from modelberth.rules.base import ALWAYS, Rule, Settings, Severity, good_practice, undecided
from modelberth.rules.lines import no_address

_ID = "WH-01"
_QUESTION = "whether the probes ask where the server answers"
_KINDS = ("startupProbe", "readinessProbe", "livenessProbe")
_HANDLERS = ("exec", "grpc", "httpGet", "tcpSocket")
_DEFAULTS = {"failureThreshold": 3, "periodSeconds": 10, "timeoutSeconds": 1}
_FIGURES = (*_DEFAULTS, "initialDelaySeconds", "successThreshold")
_NO_GRPC = frozenset({"llamacpp", "ollama", "sglang", "tgi", "vllm"})
"""Engines whose port speaks HTTP only, unless an argument of theirs says gRPC."""
_LOCAL = frozenset({"127.0.0.1", "::1", "localhost"})
_LARGEST_PORT = 65535
_LEAST_TIMEOUT_S, _LEAST_PATIENCE_S = 2, 60


def _check(resource: Resource, settings: Settings) -> Iterator[Finding]:
    level = good_practice(resource, settings)
    for pod in resource.pods:
        for container in pod.all_containers:
            for kind in _KINDS:
                yield from _refused(container, kind)
                if pod.serves:
                    yield from _open(container, kind)
        for workload in pod.serving:
            container = pod.container_at(workload)
            if container.unknown or not container.stated or (workload.observed and workload.observed.helper):
                continue
            server = listening(fields_of(container.value), workload.observed) if workload.observed else None
            if resource.kind not in COMPUTES_AND_ENDS:
                yield from _missing(container, server, level)
            for kind in _KINDS:
                yield from _asks(pod, container, kind, server)
            yield from _ready(container, server, level)
            yield from _alike(container, level)
            if resource.ours:
                yield from _patient(container, level)
            if server is not None and server.host and no_address(server.host):
                message = "does not start: the host that the server is told to listen at is no address"
                yield Finding(_ID, workload.arguments_path, message, "--host 0.0.0.0")


def _refused(container: Node, kind: str) -> Iterator[Finding]:
    """What the API server refuses, and ports that no name of the container stands for."""
    probe = container[kind]
    if probe.unknown or not probe.stated:
        return
    handlers = [name for name in _HANDLERS if probe[name].stated]
    if len(handlers) != 1:
        many = "more than one question" if handlers else "no question"
        message = f"asks {many}: the API server refuses it"
        yield Finding(_ID, probe.path, message, f"one of {', '.join(_HANDLERS)}")
    successes = probe["successThreshold"].whole()
    if kind != "readinessProbe" and successes is not None and successes > 1:
        message = f"asks for {successes} successes in a row: the API server takes only 1 here"
        yield Finding(_ID, probe["successThreshold"].path, message, "successThreshold: 1")
    for name in _FIGURES:
        value = probe[name].value
        if isinstance(value, int | float) and not isinstance(value, bool) and value < 0:
            message = f"{name} is less than 0: the API server refuses it"
            yield Finding(_ID, probe[name].path, message, "0 or more; leave it out for the default")
    for handler in ("grpc", "httpGet", "tcpSocket"):
        yield from _refused_port(container, probe[handler]["port"])


def _open(container: Node, kind: str) -> Iterator[Finding]:
    """Values that are not known yet, on which it hangs whether a probe can pass."""
    probe = container[kind]
    if container.unknown:
        return
    handlers = [probe[name] for name in ("grpc", "httpGet", "tcpSocket")]
    fields = [probe, *(handler[name] for handler in handlers for name in ("port", "host", "path"))]
    fields += [probe["successThreshold"]] if kind != "readinessProbe" else []
    fields += [probe["httpGet"]["scheme"], *(probe[name] for name in _FIGURES if name != "successThreshold")]
    if any(_is_name(handler["port"]) for handler in handlers):
        declared = container["ports"]
        names = [each["name"] for each in declared.elements()]
        sought = {handler["port"].text() for handler in handlers if _is_name(handler["port"])}
        fields += [] if sought <= {each.text() for each in names} else [declared, *names]
    for unknown in {each.path: each for each in fields if each.unknown}.values():
        yield undecided(_ID, _QUESTION, unknown)


def _is_name(port: Node) -> bool:
    return bool(port.text()) and not port.text().isdigit()


def _refused_port(container: Node, port: Node) -> Iterator[Finding]:
    name = port.text()
    if name.isdigit():
        message = "is text, which the API server takes for a name and refuses: a name has a letter"
        yield Finding(_ID, port.path, message, "the number, without quotes")
    elif name and not _may_be_named(container, name):
        message = "names no port of the container: the probe fails every time"
        yield Finding(_ID, port.path, message, "the name of an entry of ports, or the number")
    number = port.whole()
    if not name and number is not None and not 0 < number <= _LARGEST_PORT:
        yield Finding(_ID, port.path, "is no port: the API server refuses it", f"1 to {_LARGEST_PORT}")


def _may_be_named(container: Node, name: str) -> bool:
    ports = container["ports"]
    names = [each["name"] for each in ports.elements()]
    return ports.unknown or any(each.unknown or each.text() == name for each in names)


def _missing(container: Node, server: Listening | None, level: Level) -> Iterator[Finding]:
    missing = [kind for kind in _KINDS if not container[kind].stated]
    if not missing:
        return
    message = f"no {', no '.join(missing)}: the kubelet does not know when the model is loaded, nor when it is lost"
    asked = f"httpGet {server.answers.ready[0]} on port {server.port or 'of the server'}" if server else "httpGet"
    yield Finding(_ID, container.path, message, f"{', '.join(missing)}: {asked}", level)


def _asks(pod: Pod, container: Node, kind: str, server: Listening | None) -> Iterator[Finding]:
    """Whether what a probe asks is surely not there."""
    probe = container[kind]
    handler = next((probe[name] for name in ("httpGet", "tcpSocket", "grpc") if probe[name].stated), None)
    if probe.unknown or handler is None:
        return
    host = handler["host"]
    if host.text() in _LOCAL and not pod.spec["hostNetwork"].flag() and not pod.spec["hostNetwork"].unknown:
        message = "the kubelet asks its own node there, not the container: the probe fails"
        yield Finding(_ID, host.path, message, "leave it out: the pod's address is asked")
    if server is not None and not host.stated and not handler["port"].unknown and not handler["path"].unknown:
        yield from _where(pod, container, handler, server)


def _where(pod: Pod, container: Node, handler: Node, server: Listening) -> Iterator[Finding]:
    target = _target(container, handler["port"])
    if target is None:
        return
    if server.port is None:
        open_ended = _unknown_word(container)
        if open_ended is not None:
            yield undecided(_ID, _QUESTION, open_ended)
        return
    if target != server.port:
        if target in server.answers.other_ports or _others_listen(pod, container):
            return
        message = f"asks port {target}, the server listens on {server.port}"
        level = Level.ERROR if server.alone else Level.WARNING
        yield Finding(_ID, handler["port"].path, message, f"port: {server.port}", level)
        return
    if server.loopback and server.alone:
        message = "the server listens on 127.0.0.1 only: neither the kubelet nor a Service reaches it"
        yield Finding(_ID, handler["port"].path, message, "--host 0.0.0.0")
        return
    if handler.path.endswith("httpGet"):
        yield from _what(handler, server)
    elif handler.path.endswith("grpc") and server.alone and not _speaks_grpc(container, server):
        name = catalog().engine(server.answers.id).name
        message = f"asks by gRPC, {name} speaks HTTP only at this port: the probe fails every time"
        yield Finding(_ID, handler.path, message, f"httpGet {server.answers.ready[0]} on port {server.port}")


def _speaks_grpc(container: Node, server: Listening) -> bool:
    words = [each.text() for name in ("command", "args") for each in container[name].elements()]
    return server.answers.id not in _NO_GRPC or any("grpc" in word.lower() for word in words)


def _target(container: Node, port: Node) -> int | None:
    name = port.text()
    if not name:
        return port.whole()
    return next((p["containerPort"].whole() for p in container["ports"].elements() if p["name"].text() == name), None)


def _others_listen(pod: Pod, container: Node) -> bool:
    """Whether another container of the pod, at the same address, may listen on any port."""
    sidecars = [each for each in pod.init_containers if each["restartPolicy"].text() == "Always" or each.unknown]
    return bool(sidecars) or any(each.path != container.path for each in pod.containers)


def _unknown_word(container: Node) -> Node | None:
    words = [container["args"], container["command"]]
    words += [word for source in words for word in source.elements()]
    words += [entry["value"] for entry in container["env"].elements()]
    return next((word for word in words if word.unknown), None)


def _what(handler: Node, server: Listening) -> Iterator[Finding]:
    scheme = handler["scheme"].text().upper() or "HTTP"
    name = catalog().engine(server.answers.id).name if server.answers.id != "triton" else "Triton"
    if server.tls is not None and not handler["scheme"].unknown and (scheme == "HTTPS") is not server.tls:
        spoken = "HTTPS" if server.tls else "HTTP"
        message = f"asks by {'HTTP' if server.tls else 'HTTPS'}, the server speaks {spoken} only: the probe fails"
        yield Finding(_ID, f"{handler.path}.scheme", message, f"scheme: {spoken}")
        return
    path, remedy = _path(handler), f"path: {server.answers.ready[0]}"
    if server.routed is not False:
        return
    if path in server.answers.absent:
        yield Finding(_ID, f"{handler.path}.path", f"{name} serves no such path: the probe fails every time", remedy)
    elif server.api_key and _among(path, server.answers.guarded) and not handler["httpHeaders"].stated:
        message = f"{name} answers 401 there without its API key: the probe fails every time"
        yield Finding(_ID, f"{handler.path}.path", message, remedy)
    elif not _among(path, (*server.answers.ready, *server.answers.alive)):
        message = f"is no path that {name} is known to serve"
        yield Finding(_ID, f"{handler.path}.path", message, remedy, Level.WARNING)


def _path(handler: Node) -> str:
    """The path as it is asked, without a query; the kubelet asks for / where none is stated."""
    path = handler["path"].text().partition("?")[0].partition("#")[0]
    return f"/{path.strip('/')}"


def _among(path: str, patterns: tuple[str, ...]) -> bool:
    return any(path.startswith(each[:-1]) if each.endswith("*") else path == each for each in patterns)


def _ready(container: Node, server: Listening | None, level: Level) -> Iterator[Finding]:
    """Requests must not reach a server that still loads: one of the two probes before them must know."""
    readiness = container["readinessProbe"]
    if server is None or not readiness.stated or server.routed is not False:
        return
    if any(_knows_of_loading(container[kind], server) for kind in ("startupProbe", "readinessProbe")):
        return
    message = "passes before the model is loaded: requests reach a server that cannot answer them yet"
    yield Finding(_ID, readiness.path, message, f"httpGet {server.answers.ready[0]}", level)


def _knows_of_loading(probe: Node, server: Listening) -> bool:
    """Whether a probe may fail until the model is loaded: what is not known may."""
    if not probe.stated:
        return False
    handler = probe["httpGet"]
    if probe.unknown or handler.unknown or handler["path"].unknown or probe["exec"].stated:
        return True
    if handler.stated:
        return not _among(_path(handler), server.answers.alive)
    return not server.answers.answers_while_loading


def _alike(container: Node, level: Level) -> Iterator[Finding]:
    readiness, liveness = container["readinessProbe"], container["livenessProbe"]
    if readiness.stated and liveness.stated and not readiness.unknown and _essence(readiness) == _essence(liveness):
        message = "asks the same as readinessProbe, as often and as patiently: a server that is only busy is restarted"
        yield Finding(_ID, liveness.path, message, "failureThreshold: 5, periodSeconds: 30, timeoutSeconds: 10", level)


def _patient(container: Node, level: Level) -> Iterator[Finding]:
    """What our components write: a busy server has seconds to answer, and a minute until it is restarted."""
    liveness = container["livenessProbe"]
    for probe in (container["readinessProbe"], liveness):
        if probe["httpGet"].stated and (probe["timeoutSeconds"].whole() or 1) < _LEAST_TIMEOUT_S:
            path = probe["timeoutSeconds"].path
            message = "a server that is busy is taken for lost when it takes more than a second to answer"
            yield Finding(_ID, path, message, f"timeoutSeconds: {_LEAST_TIMEOUT_S} or more", level)
    figures = [liveness[name].whole() or _DEFAULTS[name] for name in ("periodSeconds", "failureThreshold")]
    if liveness.stated and not liveness.unknown and figures[0] * figures[1] < _LEAST_PATIENCE_S:
        message = f"a server that does not answer for {figures[0] * figures[1]} s is restarted, and loads for minutes"
        yield Finding(_ID, liveness.path, message, "failureThreshold: 5, periodSeconds: 30", level)


def _essence(probe: Node) -> tuple[object, ...]:
    handlers = tuple(probe[name].value for name in _HANDLERS)
    return (*handlers, *(probe[name].whole() or default for name, default in _DEFAULTS.items()))


ANSWERED = Rule(
    id=_ID,
    name="probes-ask-the-server",
    title="Probes ask where the server answers, and know when the model is loaded",
    question=_QUESTION,
    why="A model takes minutes to load. Without a probe that knows, requests arrive before; with one that asks a wrong "
    "port or path the pod never gets ready; with a liveness probe as strict as readiness a busy server is restarted.",
    remediation="startupProbe and readinessProbe on the path the engine answers when it is loaded; a patient liveness.",
    severity=Severity.HIGH,
    levels=ALWAYS,
    source="catalog/probes.yaml; pkg/kubelet/prober and pkg/apis/core/validation of Kubernetes; CKV_K8S_8 and _9 of "
    "checkov; liveness-port of kube-linter; require-probes of Kyverno",
    check=_check,
)
RULES: tuple[Rule, ...] = (ANSWERED,)
