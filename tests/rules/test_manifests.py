"""Kubernetes objects -> workloads: every kind, every spelling, and nothing that raises."""

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelberth.engines import ENGINES
from modelberth.manifests import KINDS, workloads
from modelberth.observed import UNKNOWN
from tests.rules.samples import CONTAINER, GKE, L4, codes, deployment, findings, guide, judged, llamacpp, only, vllm


def test_the_guides_manifest_is_read_as_it_is_written() -> None:
    workload = only(guide())
    assert (workload.kind, workload.name, workload.container) == ("Deployment", "vllm-server", "vllm")
    assert (workload.path, workload.engine) == ("spec.template.spec.containers[0]", "vllm")
    assert (workload.gpus, workload.gpu, workload.replicas) == (2, "nvidia-a100-80gb", 2)
    assert workload.memory_limit_bytes == 200 * 2**30
    assert workload.observed is not None
    assert (workload.observed.model, workload.observed.tensor_parallel) == ("meta-llama/Llama-3.1-70B-Instruct", 2)
    assert not workload.has_selector
    assert workload.image_tag == "latest"


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job"])
def test_every_controller_is_read_through_its_pod_template(kind: str) -> None:
    assert only(deployment(vllm(), kind=kind)).path == CONTAINER


def test_a_bare_pod_is_read() -> None:
    pod = {"kind": "Pod", "spec": {"containers": [vllm()], **L4}}
    assert only(pod).path == "spec.containers[0]"


def test_other_kinds_serve_nothing() -> None:
    assert workloads(deployment(vllm(), kind="Service")) == ()
    assert "Service" not in KINDS


def group(size: Any, leader: Any = None, worker: Any = None) -> dict[str, Any]:
    templates = {"size": size, "workerTemplate": {"spec": {"containers": [worker or vllm(gpus=2)], **L4}}}
    if leader:
        templates["leaderTemplate"] = {"spec": {"containers": [leader], **L4}}
    return {"kind": "LeaderWorkerSet", "spec": {"leaderWorkerTemplate": templates}}


def test_a_group_counts_the_gpus_of_leader_and_workers() -> None:
    ray = {"name": "ray", "image": "vllm/custom:1", "resources": {"limits": {"nvidia.com/gpu": 8}}}
    workload = only(group(3, leader=vllm(gpus=4), worker=ray))
    assert workload.path == "spec.leaderWorkerTemplate.leaderTemplate.spec.containers[0]"
    assert (workload.gpus, workload.replica_gpus, workload.group_size) == (4, 4 + 2 * 8, 3)


def test_a_group_without_a_leader_template_is_made_of_workers() -> None:
    workload = only(group(2.0))
    assert workload.path == "spec.leaderWorkerTemplate.workerTemplate.spec.containers[0]"
    assert workload.replica_gpus == 4


def test_a_group_of_unknown_size_has_an_undecided_number_of_gpus() -> None:
    workload = only(group(UNKNOWN))
    assert workload.replica_gpus is None
    assert [(each.path, each.fact) for each in workload.undecided] == [("spec.leaderWorkerTemplate.size", "group size")]


def test_init_containers_and_sidecars_are_not_serving() -> None:
    manifest = deployment(
        {"name": "proxy", "image": "envoyproxy/envoy:v1.30"}, vllm(), pod=L4 | {"initContainers": [vllm()]}
    )
    assert [workload.path for workload in workloads(manifest)] == ["spec.template.spec.containers[1]"]


def test_an_unknown_container_does_not_hide_its_sibling() -> None:
    found = workloads(deployment(UNKNOWN, vllm("--model", "meta-llama/Llama-3.1-8B-Instruct")))
    assert [workload.path for workload in found] == [CONTAINER, "spec.template.spec.containers[1]"]
    assert found[1].observed is not None


@pytest.mark.parametrize("count", [2, "2", 2.0])
def test_gpu_quantities_are_read_in_every_spelling(count: Any) -> None:
    assert only(deployment(vllm(gpus=count))).gpus == 2


def test_gpu_requests_count_where_there_is_no_limit() -> None:
    container = vllm(resources={"requests": {"nvidia.com/gpu": "4"}})
    assert only(deployment(container)).gpus == 4


def test_the_limit_goes_before_the_request() -> None:
    container = vllm(resources={"requests": {"nvidia.com/gpu": 1}, "limits": {"nvidia.com/gpu": 2}})
    assert only(deployment(container)).gpus == 2


def test_no_gpu_resource_means_no_gpu() -> None:
    assert only(deployment(vllm(resources={}))).gpus == 0


@pytest.mark.parametrize("count", [True, "two", -1, 1.5, [], "9e999999999"])
def test_what_is_no_number_of_gpus_is_undecided(count: Any) -> None:
    workload = only(deployment(vllm(gpus=count)))
    assert workload.gpus is None
    assert [each.fact for each in workload.undecided] == ["GPU count"]


@pytest.mark.parametrize("name", ["nvidia.com/mig-odd", "amd.com/gpu", "google.com/tpu"])
def test_devices_that_cannot_be_sized_are_undecided(name: str) -> None:
    workload = only(deployment(vllm(resources={"limits": {name: 1}})))
    assert workload.gpus is None
    assert "devices that cannot be sized" in workload.undecided[0].why


def test_one_slice_of_a_gpu_is_what_the_container_has() -> None:
    one = only(deployment(vllm(resources={"limits": {"nvidia.com/mig-3g.40gb": 1}})))
    assert (one.mig_profile, one.gpus, one.undecided) == ("3g.40gb", None, ())
    two = only(deployment(vllm(resources={"limits": {"nvidia.com/mig-3g.40gb": 2}})))
    assert (two.mig_profile, [each.fact for each in two.undecided]) == (None, ["GPU count"])
    labels = {GKE: "nvidia-tesla-a100", "cloud.google.com/gke-gpu-partition-size": "1g.5gb"}
    assert only(deployment(vllm(), pod={"nodeSelector": labels})).mig_profile == "1g.5gb"
    sliced = only(
        deployment(vllm(), pod={"nodeSelector": {"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-40GB-MIG-1g.5gb"}})
    )
    assert (sliced.mig_profile, sliced.gpu) == ("1g.5gb", "nvidia-a100-40gb")


def affinity(*terms: dict[str, list[str]]) -> dict[str, Any]:
    wanted = [
        {"matchExpressions": [{"key": key, "operator": "In", "values": values} for key, values in term.items()]}
        for term in terms
    ]
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": wanted}}
    return {"affinity": {"nodeAffinity": required}}


def test_the_gpu_is_read_from_required_affinity() -> None:
    assert only(deployment(vllm(), pod=affinity({GKE: ["nvidia-l4"]}))).gpu == "nvidia-l4"


def test_alternatives_that_disagree_name_no_gpu() -> None:
    pod = affinity({GKE: ["nvidia-l4"]}, {GKE: ["nvidia-tesla-t4"]})
    assert only(deployment(vllm(), pod=pod)).gpu is None
    assert only(deployment(vllm(), pod=affinity({GKE: ["nvidia-l4", "nvidia-tesla-t4"]}))).gpu is None


def test_the_gpu_is_read_from_the_machine_type() -> None:
    workload = only(deployment(vllm(), pod={"nodeSelector": {"node.kubernetes.io/instance-type": "g2-standard-8"}}))
    assert (workload.gpu, workload.machine) == ("nvidia-l4", "g2-standard-8")


def test_an_unknown_label_beside_the_accelerator_changes_nothing() -> None:
    workload = only(deployment(vllm(), pod={"nodeSelector": {GKE: "nvidia-l4", "pool": UNKNOWN}}))
    assert (workload.gpu, workload.undecided) == ("nvidia-l4", ())


@pytest.mark.parametrize(
    ("image", "tag", "digest"),
    [
        ("vllm/vllm-openai", None, False),
        ("mirror.local:5000/vllm/vllm-openai:v0.33.0", "v0.33.0", False),
        ("vllm/vllm-openai:v0.33.0@sha256:" + "a" * 64, "v0.33.0", True),
    ],
)
def test_images_are_taken_apart(image: str, tag: str | None, digest: bool) -> None:
    workload = only(deployment(vllm(image=image)))
    assert (workload.image_tag, workload.image_digest) == (tag, digest)


def test_engines_without_a_codec_are_recognised_by_their_image_behind_a_mirror(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(ENGINES, "sglang")
    workload = only(deployment(vllm(image="mirror.local/lmsysorg/sglang:v0.5.23")))
    assert (workload.engine, workload.observed) == ("sglang", None)


def test_a_shell_wrapper_is_read_through() -> None:
    script = "export X=1\nexec vllm serve meta-llama/Llama-3.1-8B-Instruct --tensor-parallel=2 --max-model-len 8k"
    container = vllm(command=["/bin/bash", "-c"], image="registry.local/custom:1")
    seen = only(deployment(container | {"args": [script]})).observed
    assert seen is not None
    assert (seen.tensor_parallel, seen.context) == (2, 8000)


def test_a_reference_to_an_environment_variable_is_followed() -> None:
    container = vllm("--model=$(MODEL)", "--max-model-len", "8192", env=[{"name": "MODEL", "value": "a/b"}])
    seen = only(deployment(container)).observed
    assert seen is not None
    assert seen.model == "a/b"


def test_llama_cpp_is_read_from_its_environment() -> None:
    env = [{"name": "LLAMA_ARG_CTX_SIZE", "value": "4096"}, {"name": "LLAMA_ARG_N_PARALLEL", "value": "2"}]
    env += [{"name": "LLAMA_ARG_HF_REPO", "value": "bartowski/Qwen2.5-7B-Instruct-GGUF:Q4_K_M"}]
    seen = only(deployment(llamacpp(args=[], env=env))).observed
    assert seen is not None
    assert (seen.context, seen.slots, seen.quantization) == (4096, 2, "q4_k_m")
    assert seen.model == "bartowski/Qwen2.5-7B-Instruct-GGUF"


def test_a_folder_of_a_weights_volume_names_the_repository_that_is_loaded() -> None:
    folder = "/weights/Qwen--Qwen2.5-7B-Instruct-AWQ/b25037543e9394b818fdfca67ab2a00ecc7dd641"
    seen = only(deployment(vllm("--model", folder, "--served-model-name", "Qwen/Qwen2.5-7B-Instruct"))).observed
    assert seen is not None
    assert seen.model == "Qwen/Qwen2.5-7B-Instruct-AWQ"


def test_an_unknown_image_is_only_a_concern_where_a_gpu_is_requested() -> None:
    assert codes(deployment({"name": "web", "image": UNKNOWN})) == []
    (finding,) = findings(deployment(vllm(image=UNKNOWN)), "SZ-21")
    assert finding.path == f"{CONTAINER}.image"


def test_an_unknown_image_that_is_told_what_to_serve_is_a_concern_without_a_gpu_too() -> None:
    (finding,) = findings(deployment(llamacpp(image=UNKNOWN)), "SZ-21")
    assert finding.path == f"{CONTAINER}.image"


def test_a_download_in_the_engines_image_is_no_server() -> None:
    script = {"command": ["sh", "-c"], "args": ["hf download a/b; echo done"]}
    assert codes(deployment(vllm() | script, kind="Job")) == []
    assert codes(deployment(llamacpp() | script, kind="Job")) == []


def test_a_worker_that_only_joins_ray_is_no_server() -> None:
    assert codes(deployment(vllm(command=["sh", "-c", "ray start --address=$LEADER --block"]))) == []


@pytest.mark.parametrize("command", [["/start.sh"], UNKNOWN, ["sh", "-c", UNKNOWN]])
def test_an_engines_image_with_a_command_of_its_own_is_not_passed_over(command: Any) -> None:
    (finding,) = findings(deployment(vllm(command=command)), "SZ-21")
    assert finding.path == f"{CONTAINER}.command"
    assert "because what the container serves is" in finding.message


def test_workers_of_a_group_whose_leader_serves_are_not_judged_themselves() -> None:
    joins = vllm(command=["sh", "-c", "bash /vllm-workspace/multi-node-serving.sh worker"], gpus=1)
    leads = vllm("--model", "meta-llama/Llama-3.1-8B-Instruct", "-tp", "2", "--max-model-len", "8192")
    assert codes(group(2, leader=leads, worker=joins)) == []


def test_a_job_of_unknown_purpose_is_not_held_up() -> None:
    assert codes(deployment(vllm("train", image=UNKNOWN), kind="Job")) == []


@pytest.mark.parametrize("where", ["spec", "template", "containers"])
def test_an_unknown_pod_is_reported_at_the_value_that_is_unknown(where: str) -> None:
    manifest = deployment(vllm())
    place = {"spec": manifest, "template": manifest["spec"], "containers": manifest["spec"]["template"]["spec"]}[where]
    place[where] = UNKNOWN
    (finding,) = findings(manifest, "SZ-21")
    assert finding.path == {"spec": "spec", "template": "spec.template"}.get(where, "spec.template.spec.containers")
    assert finding.message.startswith(
        "cannot decide whether the sizing holds because what the container serves is only known"
    )


@pytest.mark.parametrize(
    "broken", [None, 3, "text", [], {}, {"spec": []}, {"containers": {"a": 1}}, {"containers": [None, 3]}]
)
def test_malformed_pods_are_no_serving_workloads(broken: Any) -> None:
    manifest = deployment(vllm())
    manifest["spec"]["template"]["spec"] = broken
    assert workloads(manifest) == ()


_SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.just(UNKNOWN))
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
_BASES = st.sampled_from(
    [guide(), deployment(llamacpp()), group(2, leader=vllm()), deployment(vllm(), pod=affinity({GKE: ["x"]}))]
)


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, each in inner for place in _places(each, (*path, key)))]


@settings(deadline=None, max_examples=400)
@given(data=st.data())
def test_no_value_in_any_place_raises_or_breaks_a_rule(data: st.DataObject) -> None:
    manifest = copy.deepcopy(data.draw(_BASES))
    *way, last = data.draw(st.sampled_from(_places(manifest)[1:]))
    place = manifest
    for step in way:
        place = place[step]
    place[last] = data.draw(_VALUES)
    found = judged(manifest)
    assert not [finding for finding in found if "internal error" in finding.message]
