"""Custom resource definitions of add-ons in a cluster, out of the Go modules that modules/crds pins.

They are fetched into the toolchain's cache on first use (part `crds` of `toolchain.build`); none is committed.
"""

from __future__ import annotations

import yaml

from toolchain import build
from toolchain.kube import Kube, Manifest

FIELD_MANAGER = "modelberth-cluster"
SERVED_WITHIN_S = 30.0


class _Loader(yaml.CSafeLoader):
    """YAML 1.1 gives a lone `=` a meaning of its own; in a definition's enumeration it is text."""


_Loader.add_constructor("tag:yaml.org,2002:value", yaml.SafeLoader.construct_yaml_str)


def definitions(add_on: str) -> list[Manifest]:
    """The definitions of an add-on (`gateway-api`, `keda`, ...: the part's extras); fetches them if need be.

    Raises BuildError for another name, and when they cannot be fetched.
    """
    if add_on not in build.PARTS["crds"].extras:
        raise build.BuildError(f"No such add-on: {add_on}. Add-ons: {', '.join(build.PARTS['crds'].extras)}.")
    documents = (
        document
        for file in sorted((build.require("crds")["crds"] / add_on).glob("*.yaml"))
        for document in yaml.load_all(file.read_text(encoding="utf-8"), Loader=_Loader)
    )
    return [document for document in documents if document and document["kind"] == "CustomResourceDefinition"]


def install(kube: Kube, *add_ons: str) -> None:
    """Create or change the definitions of add-ons, and wait until the API server serves all of them."""
    wanted = [definition for add_on in add_ons for definition in definitions(add_on)]
    for definition in wanted:
        kube.apply(definition, field_manager=FIELD_MANAGER, force=True)
    served(kube, *wanted)


def served(kube: Kube, *definitions: Manifest) -> None:
    """Wait until the API server serves these definitions, and says so to clients that ask what there is."""
    paths = [kube.path(definition) for definition in definitions]
    kube.wait(lambda: all(_established(kube.get(path)) for path in paths), SERVED_WITHIN_S, what="all definitions")
    wanted: dict[str, set[str]] = {}
    for spec in (definition["spec"] for definition in definitions):
        for version in (each["name"] for each in spec["versions"] if each["served"]):
            wanted.setdefault(f"/apis/{spec['group']}/{version}", set()).add(spec["names"]["plural"])
    for path, plurals in wanted.items():
        kube.wait(lambda path=path, plurals=plurals: plurals <= _named(kube, path), SERVED_WITHIN_S, what=path)


def _established(definition: Manifest) -> bool:
    conditions = {entry["type"]: entry["status"] for entry in (definition.get("status") or {}).get("conditions") or ()}
    return conditions.get("Established") == "True"


def _named(kube: Kube, path: str) -> set[str]:
    """The resources that discovery names; it learns of a definition a moment after that is established."""
    return {each["name"] for each in (kube.find(path) or {"resources": []})["resources"]}
