"""Ingresses and routes, and the Services that they name."""

from __future__ import annotations

from typing import Any

from modelberth.observed import UNKNOWN
from tests.rules.cases import Case
from tests.rules.stacks import made, server, service


def _ingress(name: Any = "chat", port: Any = None) -> dict[str, Any]:
    backend = {"service": {"name": name, "port": port or {"number": 8000}}}
    return made("Ingress", {"rules": [{"http": {"paths": [{"path": "/", "backend": backend}]}}]})


def _route(name: Any = "chat", port: Any = 8000, **more: Any) -> dict[str, Any]:
    return made("HTTPRoute", {"rules": [{"backendRefs": [{"name": name, "port": port} | more]}]})


def _case(says: str, *there: Any, red: str | None = None, **more: Any) -> Case:
    return Case("WH-14", says, there, red, **more)


_NAMED = {"ports": [{"name": "http", "port": 80, "targetPort": 8000}]}
CASES = (
    _case("an Ingress to the Service's port arrives", server(), service(), _ingress()),
    _case(
        "an Ingress to the name of the Service's port arrives",
        server(),
        service(**_NAMED),
        _ingress(port={"name": "http"}),
    ),
    _case(
        "an Ingress to a name that no port has reaches nothing",
        server(),
        service(),
        _ingress(port={"name": "http"}),
        red="no port of this name",
    ),
    _case(
        "an Ingress to the port of the container instead of the Service's reaches nothing",
        server(),
        service(**_NAMED),
        _ingress(),
        red="port.number: the Service has no port 8000: no request arrives",
    ),
    _case(
        "a route to a port that the Service has not reaches nothing",
        server(),
        service(),
        _route(port=80),
        red="no port 80",
    ),
    _case("a route to the Service's port arrives", server(), service(), _route()),
    _case(
        "a route to something else than a Service is not read",
        server(),
        service(),
        _route(port=80, kind="InferencePool"),
    ),
    _case("a route to another namespace is not read", server(), service(), _route(port=80, namespace="web")),
    _case(
        "a Service that the stack has not is advice",
        server(),
        service(),
        _ingress("chatt"),
        red="no Service of this name",
        advice=True,
    ),
    _case("a stack without a Service of the server is none of its business", server(), _ingress("other")),
    _case(
        "a port that is computed is open",
        server(),
        service(),
        _route(port=UNKNOWN),
        red="the Service that is meant",
        undecided=True,
    ),
    _case(
        "a Service whose ports are computed may have any",
        server(),
        service(ports=[{"port": UNKNOWN, "targetPort": 8000}]),
        _route(),
    ),
    _case(
        "rules that are computed are open",
        server(),
        service(),
        made("HTTPRoute", {"rules": UNKNOWN}),
        red="the Service that is meant",
        undecided=True,
    ),
    _case("a Service by a computed name arrives by its port", server(), service(), _route(UNKNOWN)),
    _case(
        "a Service by a computed name with another port is open",
        server(),
        service(),
        _route(UNKNOWN, 80),
        red="backendRefs[0].name",
        undecided=True,
    ),
    _case("a Service whose name is computed arrives by its port", server(), service(name=UNKNOWN), _route()),
)
