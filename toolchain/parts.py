"""What the toolchain is made of: Go modules of ours, pinned under modules/, and the binaries that come out of them.

The standard library is enough for this module; it is imported before dependencies are installed.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

MODULES = Path(__file__).resolve().parent / "modules"
GO_ENVIRONMENT = {"GOWORK": "off"}
GO_FLAGS = ("-mod=readonly", "-trimpath")
LINKER_FLAGS = "-s -w"


class BuildError(Exception):
    """A part cannot be built; the message is the whole story, the way out included."""


@dataclass(frozen=True)
class Part:
    """One Go module of ours and the binaries that come out of it."""

    name: str
    version: str
    """Version of what is built, without the `v`."""
    minutes: int
    """Expected minutes of a cold build on two cores."""
    binaries: Mapping[str, str]
    """Binary name -> Go package."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """Go string variable -> value, set by the linker."""
    sources: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """File the build needs beside main.go -> (Go module, path within it)."""
    extras: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """File or folder that belongs beside the binaries -> (Go module, path within it)."""
    scripts: tuple[str, ...] = ()
    """Files of the module that belong beside the binaries, to be run."""
    cgo: bool = False
    """Whether it needs a C compiler."""
    for_tests: bool = False
    """Whether only tests use it."""
    modules: Path = MODULES

    @property
    def module(self) -> Path:
        return self.modules / self.name

    @property
    def go_version(self) -> str:
        """The oldest Go that builds this part, as its go.mod says."""
        found = re.search(r"^go\s+(\S+)", (self.module / "go.mod").read_text(), re.MULTILINE)
        if found is None:
            raise BuildError(f"{self.module / 'go.mod'}: no `go` line, so it is unknown which Go builds it.")
        return found[1]

    @property
    def environment(self) -> dict[str, str]:
        """Variables that Go builds it with."""
        return {**GO_ENVIRONMENT, "CGO_ENABLED": "1" if self.cgo else "0"}

    def digest(self) -> str:
        """Digest of all that shapes the binaries except the version of Go."""
        hasher = hashlib.sha256()
        shape = (self.name, self.version, self.binaries, self.variables, self.sources, self.extras, self.scripts)
        flags = (self.environment, GO_FLAGS, LINKER_FLAGS, os.uname().sysname, os.uname().machine)
        hasher.update(json.dumps([shape, flags], sort_keys=True).encode())
        for file in sorted(self.module.iterdir()):
            content = file.read_bytes()
            hasher.update(f"\n{file.name} {len(content)}\n".encode() + content)
        return hasher.hexdigest()[:16]

    def directory(self) -> Path:
        return cache() / f"{self.name}-{self.digest()}"


def cache() -> Path:
    """Directory of all built parts: $MODELBERTH_TOOLCHAIN, or modelberth/toolchain below the user's cache."""
    if chosen := os.environ.get("MODELBERTH_TOOLCHAIN"):
        return Path(chosen).expanduser().absolute()
    user_cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(user_cache) / "modelberth" / "toolchain"


def _kubernetes_version_variables(version: str) -> dict[str, str]:
    """Without these, clients misread the server's version."""
    major, minor, _ = version.split(".")
    values = {"gitVersion": f"v{version}", "gitMajor": major, "gitMinor": minor}
    values |= {"gitCommit": "unknown", "gitTreeState": "archive"}
    packages = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    return {f"{package}.{name}": value for package in packages for name, value in values.items()}


def _pinned(part: str, module: str) -> str:
    """Version, without the `v`, that the part's go.mod pins for a module."""
    content = (MODULES / part / "go.mod").read_text()
    found = re.search(rf"^(?:require)?\s+{re.escape(module)} v(\S+)", content, re.MULTILINE)
    if found is None:
        raise BuildError(f"{MODULES / part / 'go.mod'}: {module} is not pinned there.")
    return found[1]


_ENGINE = _pinned("engine", "github.com/pulumi/pulumi/pkg/v3")
_KUBERNETES = _pinned("control-plane", "k8s.io/kubernetes")
_PROMETHEUS = _pinned("prometheus", "github.com/prometheus/prometheus")
_COMPOSE = _pinned("compose", "github.com/compose-spec/compose-go/v2")
_OLLAMA = _pinned("ollama", "github.com/ollama/ollama")
_PROVIDER = "4.25.0"
_PROVIDER_MODULE = "github.com/pulumi/pulumi-kubernetes/provider/v4"

PARTS: dict[str, Part] = {
    part.name: part
    for part in (
        Part(
            name="engine",
            version=_ENGINE,
            minutes=6,
            binaries={"pulumi": "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"},
            variables={"github.com/pulumi/pulumi/sdk/v3/go/common/version.Version": f"v{_ENGINE}"},
            scripts=("pulumi-language-python",),
            extras={
                "pulumi-language-python-exec": (
                    "github.com/pulumi/pulumi/sdk/v3",
                    "python/cmd/pulumi-language-python-exec",
                )
            },
        ),
        Part(
            name="kubernetes-provider",
            version=_PROVIDER,
            minutes=10,
            binaries={"pulumi-resource-kubernetes": "."},
            variables={"main.version": _PROVIDER},
            sources={
                name: (_PROVIDER_MODULE, f"cmd/pulumi-resource-kubernetes/{name}")
                for name in ("schema.json", "terraform-mapping.json")
            },
        ),
        Part(
            name="control-plane",
            version=_KUBERNETES,
            minutes=10,
            binaries={
                name: f"k8s.io/kubernetes/cmd/{name}"
                for name in ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
            },
            variables=_kubernetes_version_variables(_KUBERNETES),
        ),
        Part(
            name="etcd",
            version=_pinned("etcd", "go.etcd.io/etcd/server/v3"),
            minutes=2,
            binaries={"etcd": "go.etcd.io/etcd/server/v3"},
        ),
        Part(
            name="kwok",
            version=_pinned("kwok", "sigs.k8s.io/kwok"),
            minutes=2,
            binaries={"kwok": "sigs.k8s.io/kwok/cmd/kwok"},
        ),
        Part(
            name="ollama",
            version=_OLLAMA,
            minutes=2,
            binaries={"ollama": "github.com/ollama/ollama"},
            variables={"github.com/ollama/ollama/version.Version": _OLLAMA},
            cgo=True,
            for_tests=True,
        ),
        Part(
            name="lws",
            version=_pinned("lws", "sigs.k8s.io/lws"),
            minutes=3,
            binaries={"lws-controller": "sigs.k8s.io/lws/cmd"},
            extras={"webhooks.yaml": ("sigs.k8s.io/lws", "config/webhook/manifests.yaml")},
            for_tests=True,
        ),
        Part(
            name="prometheus",
            version=_PROMETHEUS,
            minutes=5,
            binaries={name: f"github.com/prometheus/prometheus/cmd/{name}" for name in ("prometheus", "promtool")},
            variables={"github.com/prometheus/common/version.Version": _PROMETHEUS},
            for_tests=True,
        ),
        Part(
            name="compose",
            version=_COMPOSE,
            minutes=1,
            binaries={"compose-spec": "."},
            for_tests=True,
        ),
        Part(
            name="crds",
            version=_pinned("crds", "sigs.k8s.io/lws"),
            minutes=1,
            binaries={},
            for_tests=True,
            extras={
                "envoy-gateway": (
                    "github.com/envoyproxy/gateway",
                    "charts/gateway-helm/charts/crds/crds/generated",
                ),
                "gateway-api": ("sigs.k8s.io/gateway-api", "config/crd/standard"),
                "karpenter": ("github.com/aws/karpenter-provider-aws", "pkg/apis/crds"),
                "keda": ("github.com/kedacore/keda/v2", "config/crd/bases"),
                "lws": ("sigs.k8s.io/lws", "config/crd/bases"),
                "prometheus-operator": (
                    "github.com/prometheus-operator/prometheus-operator",
                    "example/prometheus-operator-crd",
                ),
            },
        ),
    )
}
