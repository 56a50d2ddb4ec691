"""Resources of the two clouds as the plan that Terraform would show for them (`terraform show -json`), for checkov.

Types and names come from `terraform.yaml`, what is an object and what a map from the installed SDKs. A type or a
property that is in neither is an error: nothing is left out.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from modelberth.sigils import SECRET, SIGNATURE
from tests.providers import sdk_types

CLOUDS = ("gcp:", "aws:")
_BESIDE = frozenset({"__defaults", "__meta", "__internal"})
"""What the engine's state holds beside inputs."""
_IDENTIFYING = ("name", "accountId", "member", "selfLink", "email", "arn", "id")
"""Properties by which others name a resource, the last one first where they have the same value."""


class UntranslatableError(Exception):
    """A type or a property for which nothing says what Terraform calls it."""


@dataclass(frozen=True)
class Registered:
    """One resource: wire inputs, and the values by which others name it with the property that each is of.

    ``uses`` are URNs by input, None where they are not told: then a value that names another resource is a reference.
    """

    type: str
    name: str
    inputs: Mapping[str, Any]
    urn: str = ""
    known_by: Mapping[str, str] = field(default_factory=dict)
    uses: Mapping[str, tuple[str, ...]] | None = None


def exported(states: Iterable[Mapping[str, Any]]) -> list[Registered]:
    """The clouds' resources of a stack: ``deployment.resources`` of ``pulumi stack export``."""
    found = []
    for each in states:
        if not each["type"].startswith(CLOUDS) or each.get("delete"):
            continue
        inputs = each.get("inputs", {})
        known_by = _known_by(each["type"], {**inputs, **each.get("outputs", {}), "id": each.get("id")})
        uses = {key: tuple(urns or ()) for key, urns in each.get("propertyDependencies", {}).items()}
        found.append(
            Registered(each["type"], each["urn"].rpartition("::")[2], inputs, each["urn"], known_by, uses)
        )  # fmt: skip
    return found


def written(registrations: Iterable[Mapping[str, Any]]) -> list[Registered]:
    """The clouds' resources of a list of type, name and inputs, where an unmade resource has the id `<name>-id`."""
    return [
        Registered(
            each["type"],
            each["name"],
            each["inputs"],
            known_by=_known_by(each["type"], {"id": f"{each['name']}-id", **each["inputs"]}),
        )
        for each in registrations
        if each["type"].startswith(CLOUDS)
    ]


def _known_by(token: str, properties: Mapping[str, Any]) -> dict[str, str]:
    keys = (("bucket",) if token == "aws:s3/bucket:Bucket" else ()) + _IDENTIFYING
    return {properties[key]: key for key in keys if isinstance(properties.get(key), str) and properties[key]}


def plan(resources: Iterable[Registered]) -> dict[str, Any]:
    """The plan that makes these resources.

    Before anything is made, what another resource will be called is not known: such a value is left out, and a
    reference stands in the configuration. Raises UntranslatableError for a type or property of which nothing is known.
    """
    every = list(resources)
    addresses = _addresses(every)
    planned, configured = [], []
    for index, (each, address) in enumerate(zip(every, addresses, strict=True)):
        terraform, _, name = address.partition(".")
        others = [(other, addresses[at]) for at, other in enumerate(every) if at != index]
        values, expressions = _Translation(each, terraform, others).body()
        provider = "google" if each.type.startswith("gcp:") else "aws"
        head = {"address": address, "mode": "managed", "type": terraform, "name": name}
        planned.append({**head, "schema_version": 0, "values": values})
        configured.append({**head, "provider_config_key": provider, "expressions": expressions})
    return {
        "format_version": "1.2",
        "terraform_version": "1.9.0",
        "planned_values": {"root_module": {"resources": planned}},
        "resource_changes": [],
        "configuration": {"root_module": {"resources": configured}},
    }


@functools.cache
def tables() -> dict[str, Any]:
    """What terraform.yaml holds."""
    return yaml.safe_load(Path(__file__).with_name("terraform.yaml").read_text())


def terraform_type(token: str) -> str:
    """What Terraform calls a type."""
    found = tables()["types"].get(token)
    if found is None:
        raise UntranslatableError(f"no Terraform type is known for {token}: add a row to tests/judges/terraform.yaml")
    return found


def snake(name: str) -> str:
    """A wire name as Terraform writes it: `masterIpv4CidrBlock` is `master_ipv4_cidr_block`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def ends(path: tuple[str, ...], end: str) -> bool:
    """Whether a path ends with the steps of another one."""
    steps = tuple(end.split("."))
    return path[-len(steps) :] == steps


def _addresses(every: list[Registered]) -> list[str]:
    """`type.name` of each, a number behind it where two would be the same."""
    addresses: list[str] = []
    for each in every:
        wanted = f"{terraform_type(each.type)}.{re.sub(r'[^A-Za-z0-9_-]', '_', each.name)}"
        same = sum(address == wanted or address.startswith(f"{wanted}--") for address in addresses)
        addresses.append(f"{wanted}--{same + 1}" if same else wanted)
    return addresses


Both = tuple[dict[str, Any], dict[str, Any]]


class _Translation:
    """Of one resource."""

    def __init__(self, resource: Registered, terraform: str, others: list[tuple[Registered, str]]) -> None:
        self._resource, self._others = resource, others
        self._names: dict[str, str] = tables()["names"].get(terraform, {})
        self._ones: list[str] = tables()["ones"].get(terraform, [])
        self._sdk = sdk_types.resource(resource.type)

    def body(self) -> Both:
        """Planned values, and the expressions of those that refer to others."""
        outputs = {name: {"type": type_} for name, type_ in self._sdk["outputs"].items()}
        return self._object(self._resource.inputs, {**outputs, **self._sdk["inputs"]}, ())

    def _object(self, content: Mapping[str, Any], types: Mapping[str, Any], path: tuple[str, ...]) -> Both:
        values: dict[str, Any] = {}
        expressions: dict[str, Any] = {}
        for key, raw in content.items():
            value, here = _plain(raw), (*path, key)
            if key in _BESIDE or value is None:
                continue
            if key not in types:
                raise UntranslatableError(f"{self._resource.type} {self._resource.name}: no input {'.'.join(here)}")
            name = self._name(here)
            planned, expression = self._value(value, types[key]["type"], here)
            if planned is not None:
                values[name] = planned
            if expression:
                expressions[name] = expression
        return values, expressions

    def _value(self, value: Any, type_: Any, path: tuple[str, ...]) -> tuple[Any, Any]:
        """The planned value, None where it is only known later, and the expression."""
        kind = type_ if isinstance(type_, dict) else {}
        if "object" in kind and isinstance(value, dict):
            values, expressions = self._object(value, self._sdk["objects"][kind["object"]], path)
            return [values], [expressions]
        if "list" in kind and isinstance(value, list):
            pairs = [self._value(_plain(each), kind["list"], path) for each in value]
            if isinstance(kind["list"], dict) and "object" in kind["list"]:
                return [values[0] for values, _ in pairs], [expressions[0] for _, expressions in pairs]
            references = [each for _, expression in pairs for each in expression.get("references", [])]
            # checkov sees one reference of a list only, so each stands in its place.
            items = [expression["references"][0] if each is None else each for each, expression in pairs]
            return items, {"references": references} if references else {}
        reference = self._reference(value, path)
        if reference:
            return None, {"references": [reference, reference.rpartition(".")[0]]}
        return ([value] if any(ends(path, each) for each in self._ones) else value), {}

    def _name(self, path: tuple[str, ...]) -> str:
        longest = max((each for each in self._names if ends(path, each)), key=len, default="")
        return self._names[longest] if longest else snake(path[-1])

    def _reference(self, value: Any, path: tuple[str, ...]) -> str:
        """The address of another resource's attribute that a value is, the likeliest; empty for a value of its own."""
        if not isinstance(value, str) or self._resource.known_by.get(value) == path[-1]:
            return ""
        uses = self._resource.uses
        found = [
            (_likeness(path[-1], address), address, other.known_by[value])
            for other, address in self._others
            if value in other.known_by and (uses is None or other.urn in uses.get(path[0], ()))
        ]
        if not found:
            return ""
        _, address, known_by = max(found)
        return f"{address}.{snake(known_by)}"


def _likeness(key: str, address: str) -> tuple[int, int]:
    """How well a property's name fits a type: words in common, and then the shorter type."""
    terraform = address.partition(".")[0]
    words = {word.removesuffix("s") for word in snake(key).split("_")}
    return len(words & set(terraform.split("_"))), -len(terraform)


def _plain(value: Any) -> Any:
    """A value without the engine's mark of a secret; what only its cipher is known of is some text."""
    if isinstance(value, dict) and value.get(SIGNATURE) == SECRET:
        return json.loads(value["plaintext"]) if "plaintext" in value else "secret"
    return value
