"""Field types of the spec: numbers that are numbers, names that are DNS labels, secrets that are references."""

from __future__ import annotations

import ipaddress
import math
import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from modelberth.credential_shapes import hidden

DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
DNS_SUBDOMAIN = re.compile(r"[a-z0-9]([-.a-z0-9]*[a-z0-9])?")
LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
LABEL_KEY = re.compile(r"([a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
CONTROL = re.compile(r"[\x00-\x1f\x7f]")
COMMIT = re.compile(r"[0-9a-f]{40}")
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class Misfit(ValueError):
    """What is wrong with a value, and the way out."""

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy


def each_once(values: tuple[str, ...]) -> tuple[str, ...]:
    """No value twice."""
    twice = sorted({value for value in values if values.count(value) > 1})
    if twice:
        raise Misfit(f"names {', '.join(twice)} more than once", "each of them once")
    return values


def plain_number(value: Any) -> Any:
    """Numbers only: callers in other languages send 2.0 for 2, nobody may send "2" or true."""
    if isinstance(value, bool):
        raise ValueError("must be a number, not a boolean")
    if isinstance(value, str):
        raise ValueError("must be a number, not text")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("must be a finite number")
    return value


def plain_whole(value: Any) -> Any:
    """Integers, or floats that are integers."""
    number = plain_number(value)
    if isinstance(number, float):
        if not number.is_integer():
            raise ValueError("must be a whole number")
        return int(number)
    return number


LONGEST_NAME = 50
"""Characters of the names of pools, weights, namespaces and adapters, so that suffixes still fit."""
LONGEST_SERVICE = 32
"""Characters of a service's name. The longest that is made of it: a LeaderWorkerSet ``NAME-server-xxxxxxxx`` has a
StatefulSet ``NAME-server-xxxxxxxx-999`` for the workers of each group, whose pods carry ``STATEFULSET-`` and ten
characters of hash as a label of at most 63. Names of a Deployment's pods are cut at 58 characters before their suffix:
up to 41 would leave the workload's name whole, which queries of metrics look for.
"""
LONGEST_WITH_ADAPTER = 63 - len("-fetch-adapter-") - len("-xxxxxxxx")
"""Characters of a service's and an adapter's name together: the Job that fetches the adapter has both in its name,
and its pods carry that name as a label."""


def tidied(text: str, longest: int) -> str:
    """The DNS label that comes closest; empty where nothing is left."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:longest].strip("-")


def _label(value: str, longest: int) -> str:
    if len(value) <= longest and DNS_LABEL.fullmatch(value):
        return value
    tidy = tidied(value, longest) if hidden(value) == value else ""
    hint = f"; {tidy!r} would do" if tidy else ""
    raise ValueError(f"must be lower-case letters, digits and '-', at most {longest} characters{hint}")


def dns_label(value: str) -> str:
    """A Kubernetes name (RFC 1123 label, short enough for suffixes)."""
    return _label(value, LONGEST_NAME)


def service_label(value: str) -> str:
    """Name of a service (RFC 1035 label), short enough for everything that is named after it."""
    if value[:1].isdigit():
        raise ValueError("must begin with a letter: a Kubernetes Service of this name is made")
    return _label(value, LONGEST_SERVICE)


def object_name(value: str) -> str:
    """Name of a Kubernetes object that exists (RFC 1123 subdomain)."""
    if len(value) <= 253 and DNS_SUBDOMAIN.fullmatch(value):
        return value
    raise ValueError("must be the name of a Kubernetes object: lower-case letters, digits, '-' and '.'")


def label_value(value: str) -> str:
    """Value of a Kubernetes label."""
    if LABEL_VALUE.fullmatch(value):
        return value
    raise ValueError("must be a label value: at most 63 letters, digits, '-', '_' and '.'")


def billing_key(value: str) -> str:
    """Key of a label or tag in the spelling that every cloud takes."""
    if re.fullmatch(r"[a-z][-a-z0-9_]{0,62}", value):
        return value
    raise ValueError(
        "must be at most 63 lower-case letters, digits, '-' and '_', a letter first: every cloud takes that"
    )


def billing_value(value: str) -> str:
    """Value of a label or tag in the spelling that every cloud takes."""
    if re.fullmatch(r"[-a-z0-9_]{0,63}", value):
        return value
    raise ValueError("must be at most 63 lower-case letters, digits, '-' and '_': every cloud takes that")


def label_key(value: str) -> str:
    """Key of a Kubernetes label or annotation."""
    if LABEL_KEY.fullmatch(value):
        return value
    raise ValueError("must be a label key: at most 63 letters, digits, '-', '_' and '.', after an optional prefix/")


def secret_key(value: str) -> str:
    """Key inside a Secret."""
    if re.fullmatch(r"[-._A-Za-z0-9]{1,253}", value):
        return value
    raise ValueError("must be a key inside a Secret: letters, digits, '-', '_' and '.'")


def registry_prefix(value: str) -> str:
    """Host of a registry, perhaps with a port and a path, as image references begin."""
    if re.fullmatch(r"[a-z0-9]([-.a-z0-9]*[a-z0-9])?(:\d+)?(/[a-z0-9._-]+)*/?", value):
        return value
    raise ValueError("must begin an image reference, such as registry.example.com/mirror, without https://")


def http_url(value: str) -> str:
    """Base URL of a hub."""
    if re.fullmatch(r"https?://[A-Za-z0-9.-]+(:\d+)?(/[^\s?#]*)?", value):
        return value
    raise ValueError("must be a URL, such as https://hub.example.com")


def truth(value: Any) -> Any:
    """A boolean: neither 1 nor "yes"."""
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def own_namespace(value: str) -> str:
    """A namespace that services may have to themselves: it is created, and deleted with the stack."""
    if value == "default" or value.startswith("kube-"):
        raise ValueError("must be a namespace of the services' own: it is created, and deleted with the stack")
    return value


def dns_name(value: str) -> str:
    """A host as clients write it: a DNS name of at least two labels."""
    labels = value.split(".")
    if len(value) <= 253 and len(labels) > 1 and all(len(one) <= 63 and DNS_LABEL.fullmatch(one) for one in labels):
        if labels[-1].isdigit():
            raise ValueError("must be a DNS name, not an address: certificates are made out to names")
        return value
    raise ValueError("must be a DNS name such as llm.example.com: no scheme, port, path, '*' or upper case")


def cidr(value: str) -> str:
    """A range of addresses that is not everybody."""
    try:
        loose = ipaddress.ip_network(value, strict=False)
    except ValueError:
        raise ValueError("must be a CIDR range such as 203.0.113.0/24") from None
    if loose.prefixlen == 0:
        raise ValueError("is everybody; name the ranges of those who may connect")
    exact = loose.network_address == ipaddress.ip_interface(value).ip
    if not exact:
        alone = f"{ipaddress.ip_interface(value).ip}/{loose.max_prefixlen}"
        raise ValueError(f"has bits set beyond its prefix: {loose} is the range, {alone} the one address")
    return str(loose)


def header_name(value: str) -> str:
    """Name of an HTTP header, in lower case."""
    if re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,62}[a-z0-9])?", value):
        return value
    raise ValueError("must be the name of a header: lower-case letters, digits and '-'")


def printable(value: str) -> str:
    """Text without control characters and of sane length."""
    if CONTROL.search(value):
        raise ValueError("must not contain control characters")
    if len(value) > 1000:
        raise ValueError("must be at most 1000 characters")
    return value


def relative_path(value: str) -> str:
    """A path that stays inside the folder it is relative to."""
    if value.startswith("/") or ".." in value.split("/"):
        raise ValueError("must be a relative path without '..'")
    return value


def commit(value: str) -> str:
    """A pinned revision: the 40 hexadecimal digits of a commit."""
    if COMMIT.fullmatch(value):
        return value
    raise ValueError("must be a commit of 40 hexadecimal digits; branches and tags move")


def digest(value: str) -> str:
    """An image digest as registries print it."""
    if DIGEST.fullmatch(value):
        return value
    raise ValueError("must be 'sha256:' and 64 hexadecimal digits")


Whole = Annotated[int, Field(ge=1, le=10**12), BeforeValidator(plain_whole)]
Count = Annotated[int, Field(ge=0, le=10**12), BeforeValidator(plain_whole)]
Number = Annotated[float, Field(gt=0, le=10**12), BeforeValidator(plain_number)]
Flag = Annotated[bool, BeforeValidator(truth)]
Share = Annotated[
    float,
    Field(gt=0, le=0.97, description="A share between 0 and 0.97, not a percentage."),
    BeforeValidator(plain_number),
]
Text = Annotated[str, AfterValidator(printable), Field(min_length=1)]
Texts = Annotated[tuple[Text, ...], AfterValidator(each_once)]
RelativePath = Annotated[Text, AfterValidator(relative_path)]
Name = Annotated[
    str, AfterValidator(dns_label), WithJsonSchema({"type": "string", "pattern": f"^{DNS_LABEL.pattern}$"})
]
ServiceName = Annotated[
    str, AfterValidator(service_label), WithJsonSchema({"type": "string", "pattern": f"^{DNS_LABEL.pattern}$"})
]
ObjectName = Annotated[str, AfterValidator(object_name)]
SecretKey = Annotated[str, AfterValidator(secret_key)]
Registry = Annotated[str, AfterValidator(registry_prefix)]
Host = Annotated[str, AfterValidator(dns_name)]
Cidr = Annotated[str, AfterValidator(cidr)]
Header = Annotated[str, AfterValidator(header_name)]
HttpUrl = Annotated[str, AfterValidator(http_url)]
LabelValue = Annotated[str, AfterValidator(label_value)]
BillingKey = Annotated[str, AfterValidator(billing_key)]
BillingValue = Annotated[str, AfterValidator(billing_value)]
LabelKey = Annotated[str, AfterValidator(label_key)]
Commit = Annotated[str, AfterValidator(commit), WithJsonSchema({"type": "string", "pattern": f"^{COMMIT.pattern}$"})]
Digest = Annotated[str, AfterValidator(digest), WithJsonSchema({"type": "string", "pattern": f"^{DIGEST.pattern}$"})]
