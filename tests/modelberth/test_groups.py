"""Copies that several nodes share: when they are planned, on what, what they cost, and how they are started."""

from __future__ import annotations

from typing import Any

import pytest

from modelberth.catalog import catalog
from modelberth.decision import Decision
from modelberth.engines import ENGINES
from modelberth.engines.base import Group
from modelberth.fabric import crossing_bytes, fabric_of
from modelberth.lock import dump, load, settle
from modelberth.memory import shape_of
from modelberth.plan import Plan
from tests.modelberth.samples import LLAMA_70B, by_path, plan_of, refusal, stack_of

LLAMA_405B = "meta-llama/Llama-3.1-405B-Instruct"
SHARED = {"weights": {"w": {"kind": "claim", "size_gib": 1600, "access_mode": "ReadWriteMany"}}}


def pool(*machines: str, gpu: str = "nvidia-h100-80gb", max_nodes: int = 8) -> dict[str, Any]:
    return {"pools": {"gpus": {"accelerators": [gpu], "machine_types": list(machines), "max_nodes": max_nodes}}}


def asked(**fields: Any) -> dict[str, Any]:
    return {"model": LLAMA_405B, "quantization": "bf16", "concurrency": 4, "weights": "w"} | fields


def planned(*machines: str, gpu: str = "nvidia-h100-80gb", max_nodes: int = 8, **fields: Any) -> Plan:
    return plan_of(keys=SHARED | pool(*machines, gpu=gpu, max_nodes=max_nodes), **asked(**fields))


def group_of(made: Plan) -> Group:
    assert made.launch.group is not None
    return made.launch.group


def why(made: Plan, subject: str) -> str:
    return next(reason.why for reason in made.reasons if reason.subject == subject)


def test_two_nodes_share_a_copy_where_no_single_one_holds_it() -> None:
    made = planned("p5.48xlarge")
    assert (made.decision.tensor_parallel, made.decision.pipeline_parallel, made.nodes) == (8, 2, 2)
    assert (made.decision.gpus_per_pod, made.decision.gpus_per_replica) == (8, 16)
    price = catalog().price("p5.48xlarge")
    assert price is not None
    assert made.usd_per_hour == pytest.approx(2 * price.usd_per_hour)


def test_a_single_node_that_holds_the_model_wins_and_the_others_say_how_to_have_them() -> None:
    everything = {"pools": {"gpus": pool("p5.48xlarge")["pools"]["gpus"] | {"machine_types": ["p5.48xlarge"]}}}
    everything["pools"]["h200"] = pool("p5en.48xlarge", gpu="nvidia-h200-141gb")["pools"]["gpus"]
    made = plan_of(keys=SHARED | everything, **asked())
    assert (made.decision.machine_type, made.decision.pipeline_parallel) == ("p5en.48xlarge", 1)
    (over,) = (loser.why for loser in made.losers if loser.label.startswith("p5.48xlarge"))
    assert over == "fits only with 2 nodes per replica for 110.08 USD per hour; pipeline_parallel: 2 would take it"


def test_the_cheapest_of_several_that_share_wins() -> None:
    made = planned("a3-megagpu-8g", "a3-highgpu-8g", "p5.48xlarge")
    assert made.decision.machine_type == "p5.48xlarge"
    (dearer, *_) = (loser.why for loser in made.losers if loser.label.startswith("a3-megagpu-8g"))
    assert dearer.startswith("fits, but costs ")


def test_nodes_are_those_of_every_replica() -> None:
    assert planned("p5.48xlarge", replicas=3).nodes == 6
    assert planned("p5.48xlarge", replicas=2, spread="nodes").nodes == 4
    finding = by_path(refusal(lambda: planned("p5.48xlarge", max_nodes=5, replicas=3)))["services.chat"]
    assert "fits only with 2 nodes per replica, and needs 6 nodes, pool gpus may have 5" in finding.message


@pytest.mark.parametrize("replicas", [1, 2])
def test_groups_of_nodes_do_not_surge_however_many_nodes_are_spare(replicas: int) -> None:
    made = planned("p5.48xlarge", max_nodes=8, replicas=replicas)
    assert (made.rollout.max_surge, made.rollout.max_unavailable) == (0, 1)
    assert made.rollout.why.startswith("groups of nodes do not surge: ")


def test_machines_without_a_fast_fabric_are_refused_with_what_would_pass_between_them() -> None:
    (finding,) = refusal(lambda: planned("a2-highgpu-8g", gpu="nvidia-a100-40gb", model=LLAMA_405B))
    assert "no fast fabric (EFA, GPUDirect) joins its nodes: a prompt of 8,192 tokens passes" in finding.message
    assert "ms at 100 Gbps" in finding.message


def test_every_fabric_belongs_to_a_machine_with_several_gpus_and_fast_enough_for_its_prompts() -> None:
    joined = [machine for machine in catalog().machines() if fabric_of(machine)]
    assert len(joined) >= 10
    assert all(machine.gpu_count > 1 and (machine.network_gbps or 0) >= 400 for machine in joined)
    assert fabric_of(catalog().machine("g2-standard-96")) is None


def test_two_vectors_of_the_hidden_width_pass_per_token() -> None:
    shape = shape_of(catalog().model(LLAMA_405B))
    assert crossing_bytes(shape, 10) == 10 * 16384 * 2 * 2


def test_the_plan_says_why_nodes_are_shared_and_over_what() -> None:
    reason = why(planned("p5.48xlarge"), "pipeline parallel size")
    assert reason.startswith("no single node of what is allowed holds the model; one node after another computes")
    assert "joined by EFA with GPUDirect RDMA: a prompt of 8,192 tokens passes 0.50 GiB" in reason


def test_a_stated_number_of_nodes_is_kept_where_one_would_do() -> None:
    made = planned("p5.48xlarge", model=LLAMA_70B, quantization="fp8", pipeline_parallel=2)
    assert (made.decision.tensor_parallel, made.decision.pipeline_parallel) == (8, 2)
    assert why(made, "pipeline parallel size").startswith("as stated; ")
    smaller = planned("p5.48xlarge", model=LLAMA_70B, quantization="fp8", pipeline_parallel=2, tensor_parallel=2)
    assert smaller.decision.tensor_parallel == 2


def test_one_node_as_stated_is_never_two() -> None:
    (finding,) = refusal(lambda: planned("p5.48xlarge", pipeline_parallel=1))
    assert "needs" in finding.message
    assert "nodes per replica" not in finding.message.partition("way out")[0].partition("nearest")[0]


@pytest.mark.parametrize("engine", ["llamacpp"])
def test_an_engine_without_stages_is_told_so_at_the_field(engine: str) -> None:
    findings = refusal(lambda: plan_of(keys=pool("p5.48xlarge"), engine=engine, pipeline_parallel=2))
    finding = by_path(findings)["services.chat.pipeline_parallel"]
    assert finding.message == "llamacpp does not share a model: it has no pipeline stages"


def test_a_volume_for_one_node_holds_no_group() -> None:
    keys = {"weights": {"w": {"kind": "claim", "size_gib": 1600}}} | pool("p5.48xlarge")
    finding = by_path(refusal(lambda: settle(stack_of(keys=keys, **asked()), {})))["services.chat.weights"]
    assert finding.message.startswith("2 nodes share a copy of the model, a ReadWriteOnce volume is attached to one")
    assert "ReadWriteMany" in finding.remedy


def test_the_plan_says_that_the_cluster_needs_leader_worker_set_and_that_no_device_of_the_fabric_is_asked_for() -> None:
    codes = {finding.code: finding.message for finding in planned("p5.48xlarge").findings}
    assert "the cluster must have LeaderWorkerSet" in codes["leader-worker-set"]
    assert "NCCL takes the pod network" in codes["fabric"]


EKS = {
    "account": "123456789012",
    "region": "us-east-1",
    "zones": ["us-east-1a", "us-east-1b"],
    "administrators": ["arn:aws:iam::123456789012:role/deployer"],
}


def note(*, create: bool = True, named: bool = True, **cluster: Any) -> str:
    """What the plan says of the fabric on a target that makes nodes."""
    nodes = pool("p5.48xlarge", max_nodes=2)
    nodes["pools"]["gpus"] |= {"zones": ["us-east-1a"], "create": create}
    keys = {**SHARED, **nodes, "target": {"kind": "eks", "eks": EKS | cluster}}
    made = plan_of(keys=keys, **asked(**({"pool": "gpus"} if named else {})))
    (found,) = (each for each in made.findings if each.code == "fabric")
    return str(found)


def test_the_plan_says_which_devices_pods_get_and_that_the_image_decides_whether_they_are_used() -> None:
    said = note()
    assert "each pod gets vpc.amazonaws.com/efa 32, hugepages-2Mi 5Gi" in said
    assert "if the image has libfabric and aws-ofi-nccl, else the pod network" in said
    assert "each pod gets vpc.amazonaws.com/efa 32: " in note(provisioner="karpenter")
    assert "each pod gets vpc.amazonaws.com/efa 32, hugepages-2Mi 5Gi" in note(named=False)


def test_nodes_that_exist_already_are_said_to_give_no_device() -> None:
    assert "pods get no device of EFA with GPUDirect RDMA" in note(create=False)


def test_speed_over_several_nodes_is_not_known_and_never_wins_by_it() -> None:
    traffic = {"input_tokens": 1000, "output_tokens": 300}
    (finding,) = refusal(lambda: planned("p5.48xlarge", traffic=traffic, objective="latency"))
    assert "no measured row with pipeline stages" in finding.message


# --- how they are started


def test_the_leader_serves_as_the_first_node_and_the_others_compute_for_it() -> None:
    made = planned("p5.48xlarge", extra_args=["--enable-chunked-prefill"])
    leader, group = made.launch.args, group_of(made)
    both = ("--pipeline-parallel-size", "2", "--distributed-executor-backend", "mp", "--nnodes", "2", "--node-rank")
    meeting = ("--master-addr", "$(LWS_LEADER_ADDRESS)", "--master-port", str(group.port))
    assert leader[-13:] == (*both, "0", *meeting, "--enable-chunked-prefill")
    assert group.args[-14:] == (*both, "$(LWS_WORKER_INDEX)", *meeting, "--headless", "--enable-chunked-prefill")
    assert leader[:-13] == group.args[:-14]
    assert (group.size, made.launch.pod_env) == (2, (("VLLM_HOST_IP", "status.podIP"),))


def test_only_the_leader_is_given_the_api_key() -> None:
    made = planned("p5.48xlarge", api_key={"secret": "api"})
    assert [each.name for each in made.launch.secret_env] == ["VLLM_API_KEY"]
    assert group_of(made).secret_env == ()


def test_one_node_is_no_group() -> None:
    made = planned("p5.48xlarge", model=LLAMA_70B, quantization="fp8")
    assert (made.launch.group, made.launch.pod_env) == (None, ())
    assert "--nnodes" not in made.launch.args


def test_arguments_of_leader_and_workers_read_back_as_what_was_decided() -> None:
    made = planned("p5.48xlarge")
    for args, helper in ((made.launch.args, False), (group_of(made).args, True)):
        seen = ENGINES["vllm"].read({"image": made.launch.image, "args": list(args)})
        assert seen is not None
        assert (seen.tensor_parallel, seen.pipeline_parallel, seen.nodes, seen.helper) == (8, 2, 2, helper)
        assert seen.undecided == ()


@pytest.mark.parametrize("flag", ["--nnodes", "--node-rank", "--master-addr", "--headless", "-pp"])
def test_how_nodes_meet_is_not_left_to_extra_arguments(flag: str) -> None:
    (finding,) = refusal(lambda: planned("p5.48xlarge", extra_args=[flag] if flag == "--headless" else [flag, "2"]))
    assert finding.message == f"{flag} is set from the spec itself"


# --- the lock


def locked(**update: Any) -> dict[str, Decision]:
    stack = stack_of(keys=SHARED | pool("p5.48xlarge"), **asked())
    held = settle(stack, {}).lock["chat"].model_copy(update=update)
    return load(dump({"chat": held}), "lock")


def test_a_locked_group_is_planned_again_as_it_was() -> None:
    stack = stack_of(keys=SHARED | pool("p5.48xlarge"), **asked())
    (made,) = settle(stack, locked()).plans
    assert made.locked
    assert (made.nodes, made.decision.pipeline_parallel) == (2, 2)
    assert made.launch == settle(stack, {}).plans[0].launch


def test_a_spec_that_asks_for_other_nodes_has_outgrown_its_lock() -> None:
    stack = stack_of(keys=SHARED | pool("p5.48xlarge"), **asked(pipeline_parallel=4))
    finding = by_path(refusal(lambda: settle(stack, locked())))["services.chat"]
    assert "pipeline_parallel is 4, locked 2" in finding.message


def test_a_lock_that_shares_a_copy_where_no_fabric_is_was_made_for_other_facts() -> None:
    small = pool("p5.48xlarge", "p5.4xlarge")
    stack = stack_of(keys=SHARED | small, **asked(model="meta-llama/Llama-3.1-8B-Instruct", tensor_parallel=1))
    held = settle(stack, {}).lock["chat"]
    assert held.machine_type == "p5.4xlarge"
    lock = {"chat": held.model_copy(update={"pipeline_parallel": 2})}
    finding = by_path(refusal(lambda: settle(stack, lock)))["services.chat"]
    assert "2 nodes for a replica are locked, no fast fabric joins those of p5.4xlarge" in finding.message


# --- ranks inside a node


def test_a_stated_size_over_pcie_is_warned_about_and_one_over_nvlink_is_not() -> None:
    over = {f.code for f in plan_of(accelerators=["nvidia-l4"], tensor_parallel=2).findings}
    joined = {f.code for f in plan_of(accelerators=["nvidia-h100-80gb"], tensor_parallel=2).findings}
    assert "no-nvlink" in over - joined
