"""No object, however malformed, makes a rule raise: it is judged or left alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelberth.findings import Nature
from modelberth.inventory import Inventory
from modelberth.observed import UNKNOWN
from modelberth.policyfile import PolicyFile
from modelberth.resources import Options, Resource
from modelberth.rules import ALL
from modelberth.rules.base import Profile
from tests.rules.pods import ours, server, workload
from tests.rules.samples import ROOT, llamacpp, ollama, sglang, tgi, vllm

TYPES = (
    "kubernetes:apps/v1:Deployment",
    "kubernetes:apps/v1:StatefulSet",
    "kubernetes:batch/v1:Job",
    "kubernetes:batch/v1:CronJob",
    "kubernetes:core/v1:Pod",
    "kubernetes:core/v1:Service",
    "kubernetes:core/v1:ConfigMap",
    "kubernetes:core/v1:Secret",
    "kubernetes:core/v1:Namespace",
    "kubernetes:core/v1:ServiceAccount",
    "kubernetes:core/v1:PersistentVolumeClaim",
    "kubernetes:networking.k8s.io/v1:NetworkPolicy",
    "kubernetes:networking.k8s.io/v1:Ingress",
    "kubernetes:policy/v1:PodDisruptionBudget",
    "kubernetes:autoscaling/v2:HorizontalPodAutoscaler",
    "kubernetes:keda.sh/v1alpha1:ScaledObject",
    "kubernetes:leaderworkerset.x-k8s.io/v1:LeaderWorkerSet",
    "kubernetes:scheduling.k8s.io/v1:PriorityClass",
    "kubernetes:helm.sh/v3:Release",
    "gcp:container/cluster:Cluster",
    "gcp:container/nodePool:NodePool",
    "gcp:storage/bucket:Bucket",
    "gcp:storage/bucketIAMMember:BucketIAMMember",
    "aws:eks/cluster:Cluster",
    "aws:eks/nodeGroup:NodeGroup",
    "aws:ec2/launchTemplate:LaunchTemplate",
    "aws:s3/bucket:Bucket",
    "aws:lb/loadBalancer:LoadBalancer",
    "pulumi:providers:kubernetes",
    "a type",
    "",
)
KEYS = (
    *("metadata", "name", "namespace", "labels", "annotations", "spec", "template", "containers", "initContainers"),
    *("image", "command", "args", "env", "envFrom", "value", "valueFrom", "resources", "requests", "limits", "cpu"),
    *("memory", "nvidia.com/gpu", "ephemeral-storage", "gpu", "ports", "containerPort", "hostPort", "livenessProbe"),
    *("readinessProbe", "startupProbe", "httpGet", "path", "port", "scheme", "exec", "tcpSocket", "grpc", "host"),
    *("securityContext", "runAsUser", "runAsNonRoot", "capabilities", "add", "drop", "privileged", "seccompProfile"),
    *("volumes", "volumeMounts", "mountPath", "emptyDir", "sizeLimit", "medium", "hostPath", "hostNetwork"),
    *("persistentVolumeClaim", "claimName", "selector", "matchLabels", "matchExpressions", "key", "operator", "values"),
    *("nodeSelector", "affinity", "tolerations", "topologySpreadConstraints", "replicas", "strategy", "maxSurge"),
    *("serviceAccountName", "automountServiceAccountToken", "enableServiceLinks", "priorityClassName", "type"),
    *(
        "terminationGracePeriodSeconds",
        "lifecycle",
        "preStop",
        "progressDeadlineSeconds",
        "jobTemplate",
        "backoffLimit",
    ),
    *("leaderWorkerTemplate", "leaderTemplate", "workerTemplate", "size", "data", "stringData", "accessModes"),
    *("storage", "ingress", "egress", "from", "to", "ipBlock", "cidr", "podSelector", "policyTypes", "minAvailable"),
    *("maxUnavailable", "minReplicas", "maxReplicas", "metrics", "scaleTargetRef", "kind", "triggers", "rules", "tls"),
    *(
        "nodeConfig",
        "nodePools",
        "machineType",
        "guestAccelerators",
        "count",
        "taints",
        "autoscaling",
        "serviceAccount",
    ),
    *("vpcConfig", "publicAccessCidrs", "metadataOptions", "tags", "versioning", "forceDestroy", "member", "policy"),
    *("app.kubernetes.io/part-of", "app.kubernetes.io/name", "modelberth.dev/sizing", "a key", ""),
)
WORDS = (
    *("", "0", "1", "-1", "8000", "1.5", "16Gi", "16GB", "500m", "1e400", "9" * 30, "true", "None", "http", "/health"),
    *("vllm", "serve", "vllm/vllm-openai:v0.33.0", "lmsysorg/sglang:v0.5.23", "ollama/ollama:0.34.0", "--model"),
    *("--port", "--api-key", "--host", "--max-model-len", "--tensor-parallel-size", "meta-llama/Llama-3.1-8B-Instruct"),
    *("HF_TOKEN", "VLLM_PORT", "OLLAMA_HOST", "modelberth", "nvidia-l4", "default", "RollingUpdate", "LoadBalancer"),
    *("0.0.0.0/0", "::/0", "not/a/cidr", "Always", "In", "Exists", "bash", "-c", "exec vllm serve $MODEL", "{", "[1]"),
    *("{}", '{"v": 1}', "\x00", "é\ud7ff", "sk-" + "a1" * 10, "x" * 5000),
)
SCALARS = st.one_of(
    st.sampled_from(WORDS),
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.just(UNKNOWN),
    st.text(max_size=12),
)
ANYTHING: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.sampled_from(KEYS), inner, max_size=6),
        st.dictionaries(st.one_of(st.integers(), st.none()), inner, max_size=1),
    ),
    max_leaves=25,
)
SERVERS = (vllm(), sglang(), tgi(), llamacpp(), ollama())


@st.composite
def damaged(draw: st.DrawFn) -> dict[str, Any]:
    """A server that runs, with something else in up to four of its fields."""
    kinds = ("Deployment", "StatefulSet", "LeaderWorkerSet", "Job", "CronJob", "Pod")
    made = draw(st.sampled_from((workload, ours)))
    whole: Any = made(server() | draw(st.sampled_from(SERVERS)), kind=draw(st.sampled_from(kinds)))
    for path in draw(st.lists(st.sampled_from(list(_paths(whole))), min_size=1, max_size=6)):
        whole = _changed(whole, path, draw)
    return whole


def _paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every field of an object below its kind and version."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, element in inner:
        if (*path, key) not in {("kind",), ("apiVersion",)}:
            yield (*path, key)
            yield from _paths(element, (*path, key))


def _changed(value: Any, path: tuple[Any, ...], draw: st.DrawFn) -> Any:
    """Something else in one field, or a field beside it."""
    if path and isinstance(value, dict) and path[0] in value:
        return value | {path[0]: _changed(value[path[0]], path[1:], draw)}
    if path and isinstance(value, list) and path[0] in range(len(value)):
        return [*value[: path[0]], _changed(value[path[0]], path[1:], draw), *value[path[0] + 1 :]]
    if isinstance(value, dict) and draw(st.booleans()):
        return value | {draw(st.sampled_from(KEYS)): draw(ANYTHING)}
    return draw(ANYTHING)


@st.composite
def resources(draw: st.DrawFn) -> Resource:
    random_ = st.dictionaries(st.sampled_from(KEYS), ANYTHING, max_size=8)
    manifest = draw(st.one_of(damaged(), damaged(), damaged(), random_))
    kind = manifest.get("kind")
    type_ = f"kubernetes:apps/v1:{kind}" if isinstance(kind, str) else draw(st.sampled_from(TYPES))
    protect = draw(st.sampled_from((None, True, False)))
    timeout_s = draw(st.sampled_from((None, 0.0, 600.0)))
    options = Options(
        protect, protect, timeout_s, timeout_s, draw(st.sampled_from(("", "urn:x", "urn:pulumi:a::b::c::d")))
    )
    name = draw(st.sampled_from(("server", "", "chat")))
    urn = f"urn:pulumi:dev::project::{type_}::{name}" if draw(st.booleans()) else ""
    return Resource(type_, name, manifest, urn, options, from_program=draw(st.booleans()))


@given(st.lists(resources(), max_size=4), st.sampled_from(Profile))
@settings(max_examples=300, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_every_rule_judges_or_is_silent(stack: list[Resource], profile: Profile) -> None:
    policy = PolicyFile(profile)
    inventory = Inventory(tuple(stack))
    for rule in ALL:
        asked = policy.settings(rule)
        found = [finding for resource in stack for finding in rule.about(resource, asked)]
        found += [finding for _, finding in rule.over(inventory, asked)]
        assert not [str(finding) for finding in found if finding.nature is Nature.INTERNAL]
        assert all(finding.code == rule.id and finding.remedy for finding in found)


def test_the_keys_are_those_of_real_objects() -> None:
    """Most of them, so that examples reach what rules read."""
    written = "".join(path.read_text() for path in (ROOT / "tests" / "golden").glob("*/resources.yaml"))
    assert sum(f"{key}:" in written for key in KEYS) > len(KEYS) / 2
