"""A small client for the Kubernetes API: plain HTTPS with the client certificate of a kubeconfig.

For the embedded cluster and for tests; it reads one context, does no token refresh and watches nothing (see `wait`).
"""

import base64
import json
import ssl
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import yaml

Manifest = dict[str, Any]
T = TypeVar("T")

REQUEST_TIMEOUT_S = 10.0


class KubeError(Exception):
    """The API server refused a request, or could not be reached (`status` is then 0)."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Kube:
    """One API server, as the user of a kubeconfig's current context.

    Paths are those of the API, as in `/api/v1/namespaces/default/pods`. Every request raises `KubeError` with the
    server's own message when it is refused.
    """

    def __init__(self, kubeconfig: Path) -> None:
        config = yaml.safe_load(Path(kubeconfig).read_text())
        contexts, clusters, users = (
            {entry["name"]: entry[key] for entry in config[f"{key}s"]} for key in ("context", "cluster", "user")
        )
        context = contexts[config["current-context"]]
        self.server: str = clusters[context["cluster"]]["server"]
        self._opener = _opener(clusters[context["cluster"]], users[context["user"]])
        self._resources: dict[str, dict[str, Manifest]] = {}

    def get(self, path: str) -> Manifest:
        """One object, or whatever JSON the path serves."""
        return self._request("GET", path)

    def find(self, path: str) -> Manifest | None:
        """One object, or None when there is none of that name."""
        try:
            return self.get(path)
        except KubeError as error:
            if error.status == 404:
                return None
            raise

    def list(self, path: str, *, labels: str = "", fields: str = "") -> list[Manifest]:
        """The items of a collection, narrowed by a label and a field selector."""
        selectors = {"labelSelector": labels, "fieldSelector": fields}
        query = urllib.parse.urlencode({name: value for name, value in selectors.items() if value})
        return self.get(f"{path}?{query}" if query else path)["items"]

    def create(self, manifest: Manifest) -> Manifest:
        """Creates an object; one that exists already is refused with status 409."""
        return self._request("POST", self._collection(manifest), manifest)

    def apply(
        self,
        manifest: Manifest,
        *,
        field_manager: str = "modelberth-test",
        subresource: str = "",
        force: bool = False,
        dry_run: bool = False,
    ) -> Manifest:
        """Creates or changes an object by server-side apply; `force` takes fields over from other managers.

        With `dry_run` everything is checked, admission included, and nothing is stored.
        """
        options = {"fieldManager": field_manager, "force": str(force).lower()}
        query = urllib.parse.urlencode(options | ({"dryRun": "All"} if dry_run else {}))
        path = self.path(manifest) + (f"/{subresource}" if subresource else "")
        return self._request("PATCH", f"{path}?{query}", manifest, "application/apply-patch+yaml")

    def token(self, namespace: str, account: str = "default") -> str:
        """A token that logs in as a service account, for an hour."""
        asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}}
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
        return self._request("POST", path, asked)["status"]["token"]

    def scale(self, path: str, replicas: int, *, field_manager: str = "modelberth-test") -> Manifest:
        """Sets the replicas of the workload at `path` through its scale subresource, as autoscalers do."""
        query = urllib.parse.urlencode({"fieldManager": field_manager})
        wanted = {"spec": {"replicas": replicas}}
        return self._request("PATCH", f"{path}/scale?{query}", wanted, "application/merge-patch+json")

    def evict(self, pod: Manifest) -> bool:
        """Asks for a pod to go, as a drain does; False while a disruption budget forbids it.

        Pods of a namespace that is being deleted go by themselves: nobody can ask any more.
        """
        name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
        asked = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": namespace}}
        try:
            self._request("POST", f"/api/v1/namespaces/{namespace}/pods/{name}/eviction", asked)
        except KubeError as error:
            ending = error.status == 403 and "being terminated" in str(error)
            if error.status not in (404, 429) and not ending:
                raise
            return error.status != 429
        return True

    def delete(self, what: str | Manifest, *, at_once: bool = False) -> None:
        """Deletes an object and its dependents, given by path or manifest; one that is gone already is no error.

        `at_once` leaves a pod no time, and does not wait for its node to agree.
        """
        options: dict[str, Any] = {"propagationPolicy": "Background"} | ({"gracePeriodSeconds": 0} if at_once else {})
        try:
            self._request("DELETE", what if isinstance(what, str) else self.path(what), options)
        except KubeError as error:
            if error.status != 404:
                raise

    def wait(
        self,
        seen: Callable[[], T | None],
        timeout_s: float = 30.0,
        *,
        what: str = "the state asked for",
        poll_s: float = 0.1,
    ) -> T:
        """Calls `seen` until it returns something true, and returns that; raises `TimeoutError` naming `what`."""
        deadline = time.monotonic() + timeout_s
        while not (result := seen()):
            if time.monotonic() > deadline:
                raise TimeoutError(f"not seen within {timeout_s:g} s: {what}")
            time.sleep(poll_s)
        return result

    def path(self, manifest: Manifest) -> str:
        """The path of the object a manifest describes."""
        return f"{self._collection(manifest)}/{manifest['metadata']['name']}"

    def _collection(self, manifest: Manifest) -> str:
        version, kind = manifest["apiVersion"], manifest["kind"]
        root = f"/apis/{version}" if "/" in version else f"/api/{version}"
        if kind not in self._resources.get(root, {}):  # asked anew for a kind that a definition may just have added
            served = self.get(root)["resources"]
            self._resources[root] = {resource["kind"]: resource for resource in served if "/" not in resource["name"]}
        if kind not in self._resources[root]:
            raise KubeError(404, f"{version} has no kind {kind}")
        resource = self._resources[root][kind]
        if not resource["namespaced"]:
            return f"{root}/{resource['name']}"
        return f"{root}/namespaces/{manifest['metadata'].get('namespace', 'default')}/{resource['name']}"

    def _request(
        self,
        method: str,
        path: str,
        body: Manifest | None = None,
        content_type: str = "application/json",
    ) -> Manifest:
        request = urllib.request.Request(
            self.server + path,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Accept": "application/json", "Content-Type": content_type},
            method=method,
        )
        try:
            with self._opener.open(request, timeout=REQUEST_TIMEOUT_S) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            raise KubeError(error.code, _message(error.read()) or str(error)) from None
        except OSError as error:
            raise KubeError(0, f"{self.server} does not answer: {getattr(error, 'reason', error)}") from None


def _opener(cluster: Manifest, user: Manifest) -> urllib.request.OpenerDirector:
    context = ssl.create_default_context(cadata=_pem(cluster, "certificate-authority"))
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as pair:  # the ssl module reads certificates from files only
        pair.write(_pem(user, "client-certificate") + _pem(user, "client-key"))
        pair.flush()
        context.load_cert_chain(pair.name)
    # An empty ProxyHandler: a proxy in the environment must not see requests for loopback.
    return urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))


def _pem(entry: Manifest, name: str) -> str:
    if data := entry.get(f"{name}-data"):
        return base64.b64decode(data).decode()
    return Path(entry[name]).read_text()


def _message(body: bytes) -> str:
    try:
        return json.loads(body)["message"]
    except (ValueError, KeyError, TypeError):
        return body.decode(errors="replace").strip()
