"""Type tokens, label and annotation keys: every name that is part of a contract, once."""

from __future__ import annotations

PACKAGE = "modelberth"

CLIENTS_LABEL = "modelberth.dev/clients"
"""A namespace with this label set to "true" may call the services."""


def token(name: str) -> str:
    """The type token of a component, the same for direct and hosted use."""
    return f"{PACKAGE}:index:{name}"


def selector_labels(service: str) -> dict[str, str]:
    """Labels that select the serving pods of one service and never change."""
    return {
        "app.kubernetes.io/part-of": PACKAGE,
        "app.kubernetes.io/instance": service,
        "modelberth.dev/role": "server",
    }


def service_labels(service: str) -> dict[str, str]:
    """Labels that all pods of one service carry, servers and downloads."""
    return {"app.kubernetes.io/part-of": PACKAGE, "app.kubernetes.io/instance": service}


def fetch_labels(service: str) -> dict[str, str]:
    """Labels of the pods that fill a weights volume."""
    return service_labels(service) | {"modelberth.dev/role": "fetch"}
