"""What a preflight sees of a cluster, asked of its API server. Reads only, apart from reviews of our own access.

Needs the package ``kubernetes`` (for kubeconfigs and every way to log in), which is imported when it is first asked
for. Of a Secret only the names of its keys are kept.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from modelberth.findings import Finding, Refused
from modelberth.preflight import GPU, SECURITY_LEVEL, Node, Questions, Seen, Snapshot, Space, StorageClass
from modelberth.requirements import Ref

TIMEOUT_S = (5, 20)
"""To connect, and to be answered."""

DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
OUR_MANAGER = "pulumi-kubernetes"
MOST_STRANGERS = 3
UNASKED = "target.preflight: false"
Json = Mapping[str, Any]


class Denied(Exception):
    """The credentials may not read this."""


class Absent(Exception):
    """There is no such object, or no such API."""


def look(asked: Questions, kubeconfig: Path | None, context: str | None) -> Snapshot:
    """See what a preflight must know. Raises :class:`Refused` when the API server cannot be reached, lets nobody look,
    or answers what no API server answers.
    """
    api = _Api(kubeconfig, context)
    try:
        return _snapshot(api, asked)
    except Denied as path:
        message = f"{api.server} does not let these credentials ask {path}"
        out = f"the ClusterRoles system:discovery and system:basic-user for them, or {UNASKED}"
        raise _unusable(message, out) from None
    except Absent as path:
        message = f"{api.server} has no {path}: it is not the API server of a cluster"
        raise _unusable(message, f"the server of the kubeconfig (kubectl cluster-info), or {UNASKED}") from None
    except Refused:
        raise
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        message = f"{api.server} answers something else than an API server does ({type(error).__name__})"
        raise _unusable(message, f"the server of the kubeconfig (kubectl cluster-info), or {UNASKED}") from None


def _snapshot(api: _Api, asked: Questions) -> Snapshot:
    version = api.get("/version")
    plurals: dict[tuple[str, str], str] = {}
    for each in sorted({*asked.apis, "v1"}):
        plurals |= _resources(api, each)
    objects: dict[Ref, Seen | None] = {}
    unseen: set[Ref] = set()
    for ref in asked.refs:
        if (ref.api, ref.kind) not in plurals:
            continue
        try:
            objects[ref] = _seen(api.get(_path(ref, plurals)))
        except Absent:
            objects[ref] = None
        except Denied:
            unseen.add(ref)
    return Snapshot(
        server=api.server,
        minor=_minor(version),
        served=frozenset(plurals),
        nodes=_nodes(api),
        storage_classes=_storage_classes(api),
        space=_space(api, asked.namespace),
        objects=objects,
        autoscaled=_autoscaled(api),
        refused=tuple(_refused(api, asked, plurals)),
        unseen=frozenset(unseen),
    )


class _Api:
    """One API server, as the user of a kubeconfig."""

    def __init__(self, kubeconfig: Path | None, context: str | None) -> None:
        if kubeconfig is not None and not kubeconfig.is_file():
            raise _unusable(f"{kubeconfig} is not there", "the path of a kubeconfig file")
        try:
            client, config = import_module("kubernetes.client"), import_module("kubernetes.config")
        except ImportError:
            out = 'pip install "kubernetes>=37,<38"; or target.preflight: false'
            raise _unusable("the package kubernetes is not installed", out) from None
        settings = client.Configuration()
        settings.retries = 0
        try:
            _load(config, kubeconfig, context, settings)
            self._client = client.ApiClient(settings)
        except Exception as error:  # every kind of nonsense in a kubeconfig raises another type; none of it is shown
            which = str(kubeconfig) if kubeconfig else "the kubeconfig of the usual places"
            where = f"context {context}" if context else "its current context"
            message = f"{which}: {where} cannot be used ({type(error).__name__})"
            raise _unusable(message, "kubectl config view, kubectl config get-contexts") from None
        self.server = str(settings.host)
        self._settings = settings

    def get(self, path: str) -> Json:
        """What a path serves. Raises Denied, Absent, or Refused when nothing answers."""
        return self._request("GET", path, None)

    def items(self, path: str) -> list[Json]:
        """The items of a collection."""
        return [*_list(self.get(path), "items")]

    def post(self, path: str, body: Json) -> Json:
        """A review."""
        return self._request("POST", path, body)

    def _request(self, method: str, path: str, body: Json | None) -> Json:
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        try:
            for each in self._settings.auth_settings().values():
                headers[each["key"]] = each["value"]
            answer = self._client.rest_client.request(
                method, self.server + path, headers=headers, body=body, _request_timeout=TIMEOUT_S
            )
            status, text = answer.status, answer.read()
        except Exception as error:
            status, text = getattr(error, "status", None), b""
            if not status:
                reason = getattr(error, "reason", None) or error
                message = f"{self.server} does not answer: {_short(reason)}"
                raise _unusable(message, f"a cluster that runs, or {UNASKED}") from None
        if status == 401:
            raise _unusable(f"{self.server} does not accept these credentials", "log in again")
        if status == 403:
            raise Denied(path)
        if status == 404:
            raise Absent(path)
        if not 200 <= status < 300:
            raise _unusable(f"{self.server} answers {status} to {path}", "look at its API server")
        return _object(text, f"{self.server}{path}")


def _load(config: Any, kubeconfig: Path | None, context: str | None, settings: Any) -> None:
    try:
        config.load_kube_config(
            str(kubeconfig) if kubeconfig else None, context, client_configuration=settings, persist_config=False
        )
    except config.ConfigException:
        if kubeconfig or context:
            raise
        config.load_incluster_config(client_configuration=settings)


def _unusable(message: str, way_out: str) -> Refused:
    return Refused([Finding("preflight", "target.kubeconfig", message, way_out)])


def _object(text: bytes, where: str) -> Json:
    """A JSON object; whatever else stands there is not shown."""
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        message = f"{where} answers {'no JSON' if found is None else 'JSON that is no object'}: no API server does"
        raise _unusable(message, f"the server of the kubeconfig, without a login page before it, or {UNASKED}")
    return cast(Json, found)


def _short(reason: object) -> str:
    text = str(reason)
    text = text.rpartition("> ")[2].removeprefix(": ") or text
    return text if len(text) <= 160 else f"{text[:157]}..."


def _minor(version: Json) -> int:
    digits = "".join(letter for letter in str(version.get("minor", "")) if letter.isdigit())
    return int(digits or 0)


def _map(found: Json, *keys: str) -> dict[str, Any]:
    """A mapping inside an object; empty where there is none."""
    inside: Any = found
    for key in keys:
        inside = inside.get(key) or {}
    return cast("dict[str, Any]", inside)


def _list(found: Json, *keys: str) -> list[dict[str, Any]]:
    """A list of mappings inside an object; empty where there is none."""
    return cast("list[dict[str, Any]]", _map(found, *keys[:-1]).get(keys[-1]) or [])


def _root(api: str) -> str:
    return f"/apis/{api}" if "/" in api else f"/api/{api}"


def _resources(api: _Api, version: str) -> dict[tuple[str, str], str]:
    try:
        served = _list(api.get(_root(version)), "resources")
    except (Absent, Denied):
        return {}
    return {(version, ""): ""} | {(version, each["kind"]): each["name"] for each in served if "/" not in each["name"]}


def _path(ref: Ref, plurals: Mapping[tuple[str, str], str]) -> str:
    inside = f"/namespaces/{ref.namespace}" if ref.namespace else ""
    return f"{_root(ref.api)}{inside}/{plurals[ref.api, ref.kind]}/{ref.name}"


def _seen(found: Json) -> Seen:
    listeners = _list(found, "spec", "listeners") if found.get("kind") == "Gateway" else []
    return Seen(
        keys=frozenset(_map(found, "data")) if found.get("kind") == "Secret" else frozenset(),
        listeners=tuple((each["name"], each["protocol"], each.get("hostname") or "") for each in listeners),
    )


def _nodes(api: _Api) -> tuple[Node, ...] | None:
    try:
        found = api.items("/api/v1/nodes")
    except Denied:
        return None
    return tuple(_node(each) for each in found if _takes_pods(each))


def _takes_pods(node: Json) -> bool:
    conditions = {each.get("type"): each.get("status") for each in _list(node, "status", "conditions")}
    return conditions.get("Ready") == "True" and not _map(node, "spec").get("unschedulable")


def _node(node: Json) -> Node:
    offered = str(_map(node, "status", "allocatable").get(GPU, "0"))
    name = str(_map(node, "metadata").get("name", "a node without a name"))
    return Node(name, _map(node, "metadata", "labels"), int(offered) if offered.isdecimal() else 0)


def _storage_classes(api: _Api) -> tuple[StorageClass, ...] | None:
    try:
        found = api.items("/apis/storage.k8s.io/v1/storageclasses")
    except Denied:
        return None
    return tuple(
        StorageClass(
            each["metadata"]["name"],
            str(each.get("provisioner", "")),
            _map(each, "metadata", "annotations").get(DEFAULT_CLASS) == "true",
        )
        for each in found
    )


def _space(api: _Api, name: str) -> Space | None:
    try:
        found = api.get(f"/api/v1/namespaces/{name}")
    except (Absent, Denied):
        return None
    managers = [str(each.get("manager")) for each in _list(found, "metadata", "managedFields")]
    ours = any(manager.startswith(OUR_MANAGER) for manager in managers)
    level = str(_map(found, "metadata", "labels").get(SECURITY_LEVEL, ""))
    return Space(ours, level, () if ours else _strangers(api, name))


def _strangers(api: _Api, namespace: str) -> tuple[str, ...]:
    found: list[str] = []
    for root, kind in (("/apis/apps/v1", "deployments"), ("/apis/apps/v1", "statefulsets"), ("/api/v1", "pods")):
        try:
            items = api.items(f"{root}/namespaces/{namespace}/{kind}?limit={MOST_STRANGERS}")
        except Denied:
            continue
        found += [f"{kind.removesuffix('s')} {each['metadata']['name']}" for each in items]
    return tuple(found[:MOST_STRANGERS])


def _autoscaled(api: _Api) -> bool:
    """Signs of something that adds nodes: Karpenter's API, or the status that the cluster autoscaler writes."""
    for path in ("/apis/karpenter.sh/v1", "/api/v1/namespaces/kube-system/configmaps/cluster-autoscaler-status"):
        try:
            api.get(path)
        except (Absent, Denied):
            continue
        return True
    return False


def _refused(api: _Api, asked: Questions, plurals: Mapping[tuple[str, str], str]) -> list[tuple[str, str]]:
    wanted = [(asked.namespace, *each) for each in asked.created] + [("", "v1", "Namespace")]
    found: list[tuple[str, str]] = []
    for namespace, version, kind in wanted:
        if (version, kind) not in plurals:
            continue
        group = version.partition("/")[0] if "/" in version else ""
        for verb in ("create", "patch"):  # server-side apply needs both
            what = {"verb": verb, "group": group, "resource": plurals[version, kind]}
            review = {
                "apiVersion": "authorization.k8s.io/v1",
                "kind": "SelfSubjectAccessReview",
                "spec": {"resourceAttributes": what | ({"namespace": namespace} if namespace else {})},
            }
            answer = api.post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review)
            if not _map(answer, "status").get("allowed"):
                found.append((verb, kind))
    return found
