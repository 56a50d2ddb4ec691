"""Quotas of an account: what node pools want of them, what the cloud's commands print, and what is too small."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from modelberth import asked, parse, report
from modelberth.clouds.accounts import Limit, Unread, asks, limits
from modelberth.lock import Locked, Settled, settle
from modelberth.names import Capacity
from modelberth.quotas import judge, shown
from modelberth.spec import StackSpec
from tests.modelberth.commands import ran
from tests.modelberth.samples import ROOT
from tests.modelberth.test_cluster import SERVED, server, written_kubeconfig
from tests.providers.limits import Size, refusal

RECORDED = ROOT / "tests" / "data" / "quotas"
"""Written by hand in the form that the commands print."""
GKE: dict[str, Any] = {
    "project": "example-prod",
    "project_number": "123456789012",
    "region": "us-central1",
    "zones": ["us-central1-a", "us-central1-b"],
    "cluster": "theirs",
}
EKS: dict[str, Any] = {
    "account": "111122223333",
    "region": "eu-central-1",
    "zones": ["eu-central-1a", "eu-central-1b"],
    "administrators": ["arn:aws:iam::111122223333:role/deployer"],
}
CHAT: dict[str, Any] = {
    "model": "Qwen/Qwen2.5-7B-Instruct",
    "context": 8192,
    "concurrency": 8,
    "typical_tokens": 3000,
    "pool": "gpus",
    "weights": "hub",
}


def document(kind: str = "gke", *, gpu: str = "nvidia-l4", replicas: int = 1, **pool: Any) -> dict[str, Any]:
    """A stack with one pool. On GKE its cluster is there; on EKS one is made, with its system pool."""
    return {
        "target": {"kind": kind, kind: {"gke": GKE, "eks": EKS}[kind]},
        "defaults": {"profile": "dev"},
        "pools": {"gpus": {"accelerators": [gpu], "max_nodes": 3} | pool},
        "weights": {"hub": {"kind": "claim", "size_gib": 20} if gpu == "cpu" else {"kind": "hub"}},
        "services": {"chat": CHAT | {"replicas": replicas}},
    }


def planned(*args: Any, **kwargs: Any) -> tuple[StackSpec, Settled]:
    stack = parse.stack(document(*args, **kwargs))
    return stack, settle(stack, Locked({}))


def recorded(stack: StackSpec, *names: str, **changed: float) -> Iterator[Limit]:
    """Limits of recorded documents; figures of single quotas may be changed."""
    for name in names:
        text = (RECORDED / f"{name}.json").read_text()
        for each in limits(stack.target, text):
            yield Limit(each.account, each.region, each.quota, changed.get(each.quota, each.limit), each.in_use)


def said(*names: str, kind: str = "gke", running: bool = False, limit: dict[str, float] | None = None, **pool: Any):
    stack, settled = planned(kind, **pool)
    found = judge(stack, settled.quotas, recorded(stack, *names, **(limit or {})), running=running)
    return [(each.level.value, each.path, each.message, each.remedy) for each in found]


def test_the_plan_says_what_services_need_of_a_quota_and_what_pools_may_take_at_most() -> None:
    _, settled = planned(replicas=2)
    wanted = {shown(each): (each.need.amount, each.at_most, each.paths) for each in settled.quotas.wanted}
    assert wanted == {
        "NVIDIA_L4_GPUS in us-central1": (2, 3, ("pools.gpus",)),
        "GPUS_ALL_REGIONS in all regions together": (2, 3, ("pools.gpus",)),
        "SSD_TOTAL_GB in us-central1": (2 * 160, 3 * 160, ("pools.gpus",)),
    }
    text = report.as_text(settled)
    assert "NVIDIA_L4_GPUS in us-central1" in text
    assert "gpus, at most 3: pools.gpus" in text


def test_each_way_of_a_pool_counts_against_a_quota_of_its_own_and_the_first_gives_what_is_needed() -> None:
    _, settled = planned(replicas=2, capacity=["spot", "on-demand"])
    amounts = {each.need.name: (each.need.amount, each.at_most) for each in settled.quotas.wanted}
    assert amounts["PREEMPTIBLE_NVIDIA_L4_GPUS"] == (2, 3)
    assert amounts["NVIDIA_L4_GPUS"] == (0, 3)


def test_pools_of_one_family_are_counted_together_with_their_machines_vcpus() -> None:
    spec = document("eks", gpu="nvidia-l4", machine_types=["g6.2xlarge"])
    spec["pools"]["more"] = {"accelerators": ["nvidia-l4"], "machine_types": ["g6.xlarge"], "max_nodes": 2}
    spec["services"]["second"] = CHAT | {"pool": "more"}
    settled = settle(parse.stack(spec), Locked({}))
    (gpus,) = [each for each in settled.quotas.wanted if each.need.code == "L-DB2E81BA"]
    assert (gpus.need.amount, gpus.at_most) == (8 + 4, 3 * 8 + 2 * 4)
    assert gpus.paths == ("pools.gpus", "pools.more")


def test_nodes_whose_quota_nobody_knows_are_unknown_and_not_none() -> None:
    stack, settled = planned("gke", gpu="cpu", machine_types=["c3-standard-8"], capacity=["on-demand"])
    assert [each.need.name for each in settled.quotas.wanted] == ["SSD_TOTAL_GB"]
    assert "c3-standard-8, on-demand" in report.as_text(settled)
    figures = report.as_json(settled)["quotas"]
    assert figures["unknown"] == [{"path": "pools.gpus", "machine_type": "c3-standard-8", "capacity": "on-demand"}]
    warning = judge(stack, settled.quotas, ())[-1]
    assert (warning.level, warning.path) == ("warning", "pools.gpus")
    assert "which quota c3-standard-8 as on-demand counts against is not known" in warning.message


def made(kind: str, **target: Any) -> tuple[StackSpec, Settled]:
    """The same with a cluster that is made."""
    spec = document(kind)
    spec["target"][kind] = {key: value for key, value in {**spec["target"][kind], **target}.items() if key != "cluster"}
    stack = parse.stack(spec)
    return stack, settle(stack, Locked({}))


def test_boot_disks_count_against_a_quota_and_a_cluster_begins_with_a_node_in_each_zone() -> None:
    _, settled = made("gke")
    (disks,) = [each for each in settled.quotas.wanted if each.need.name == "SSD_TOTAL_GB"]
    assert (disks.need.amount, disks.need.told, disks.region) == (2 * 100 + 160, "GiB", "us-central1")
    assert disks.at_most == 4 * 100 + 3 * 160
    assert disks.paths == ("target.gke.system", "pools.gpus")
    assert f"GiB, at most {disks.at_most}: target.gke.system, pools.gpus" in report.as_text(settled)


def test_a_type_of_disk_of_its_own_has_a_quota_of_its_own() -> None:
    _, settled = planned("gke", gpu="nvidia-rtx-pro-6000", machine_types=["g4-standard-48"], max_nodes=1)
    assert "HDB_TOTAL_GB" in [each.need.name for each in settled.quotas.wanted]
    assert "SSD_TOTAL_GB" not in [each.need.name for each in settled.quotas.wanted]


def test_a_nat_in_each_zone_needs_an_address_each_and_too_few_are_an_error_that_asks_for_more() -> None:
    zones = [f"eu-central-1{letter}" for letter in "abc"]
    stack, settled = made("eks", zones=zones)
    few = Limit("111122223333", "eu-central-1", "L-0263D0A3", 2)
    (wrong,) = [each for each in judge(stack, settled.quotas, [few]) if each.level == "error"]
    assert wrong.path == "target.eks.zones"
    assert "EC2-VPC Elastic IPs (L-0263D0A3) in eu-central-1: limit 2" in wrong.message
    assert "services need 3 addresses" in wrong.message
    assert "--quota-code L-0263D0A3 --desired-value 3 --region eu-central-1" in wrong.remedy


def test_a_network_that_is_there_needs_no_addresses() -> None:
    network = {
        "vpc": "vpc-0123456789abcdef0",
        "subnets": {f"eu-central-1{z}": f"subnet-0123456789abcde{z}0" for z in "ab"},
    }
    _, settled = made("eks", network=network)
    assert [each for each in settled.quotas.wanted if each.need.unit == "addresses"] == []


def test_a_target_that_makes_no_nodes_wants_no_quota() -> None:
    spec = document() | {"target": {"kind": "existing"}}
    spec["pools"]["gpus"]["machine_types"] = ["g2-standard-8"]
    settled = settle(parse.stack(spec), Locked({}))
    assert report.as_json(settled)["quotas"] is None
    assert "quota" not in report.as_text(settled)


def test_what_is_free_for_all_that_pools_may_have_is_not_mentioned() -> None:
    assert said("gcp-region", "gcp-project") == []


def test_a_limit_below_what_is_needed_is_an_error_that_says_how_to_raise_it() -> None:
    (wrong,) = said("gcp-region", "gcp-project", limit={"NVIDIA_L4_GPUS": 1}, replicas=2)
    level, path, message, out = wrong
    assert (level, path) == ("error", "pools.gpus")
    assert "NVIDIA_L4_GPUS in us-central1: limit 1, 1 in use; services need 2 gpus" in message
    assert "ask for 3 of NVIDIA_L4_GPUS, us-central1 at https://console.cloud.google.com" in out
    assert "project=example-prod" in out


def test_what_others_use_counts_unless_the_stack_itself_is_said_to_run() -> None:
    full = {"NVIDIA_L4_GPUS": 1.0}
    ((level, _, _, out),) = said("gcp-region", "gcp-project", limit=full, max_nodes=1)
    assert level == "error"
    assert "--running" in out
    ((level, _, message, _),) = said("gcp-region", "gcp-project", limit=full, max_nodes=1, running=True)
    assert (level, "1 in use" in message) == ("warning", True)


def test_a_limit_that_is_enough_at_first_and_not_for_max_nodes_is_a_warning() -> None:
    ((level, _, message, _),) = said("gcp-region", "gcp-project", max_nodes=4)
    assert level == "warning"
    assert "limit 4, 1 in use; services need 1 gpus, pools may take 4" in message


def test_a_quota_that_no_document_holds_is_a_warning_and_never_taken_for_none() -> None:
    ((level, _, message, _),) = said("gcp-region")
    assert level == "warning"
    assert "GPUS_ALL_REGIONS in all regions together: the limit is not known" in message


@pytest.mark.parametrize(
    ("machine", "gpu", "told"),
    [
        ("a3-highgpu-8g", "nvidia-h100-80gb", "limit 8, what is in use is not said; services need 8 gpus"),
        ("a3-megagpu-8g", "nvidia-h100-80gb", "the limit is not known"),
        ("g4-standard-48", "nvidia-rtx-pro-6000", ""),
    ],
)
def test_families_of_gpus_have_one_quota_each_which_may_be_said_set_unset_or_unlimited(
    machine: str, gpu: str, told: str
) -> None:
    found = said("gcp-families", gpu=gpu, machine_types=[machine], max_nodes=1)
    mine = [message for _, _, message, _ in found if message.startswith("GPUS_PER_GPU_FAMILY")]
    assert [told in message for message in mine] == ([True] if told else [])


def test_where_a_region_has_a_limit_of_its_own_it_is_that_of_the_region() -> None:
    stack, _ = planned()
    found = {(each.quota, each.region): each.limit for each in recorded(stack, "gcp-families")}
    family = "GPUS_PER_GPU_FAMILY (gpu_family: NVIDIA_H100)"
    assert (found[family, "us-central1"], found[family, "us-east4"]) == (8, 2)


def test_on_aws_a_limit_is_judged_by_code_and_what_is_in_use_is_said_to_be_unknown() -> None:
    found = said("aws-ec2", kind="eks", gpu="nvidia-l4", machine_types=["g6.2xlarge"], replicas=2, max_nodes=2)
    assert [(level, path) for level, path, _, _ in found] == [
        ("warning", "target.eks.system"),
        ("note", "target.eks.zones"),
        ("note", "pools.gpus"),
    ]
    assert "limit 5, what is in use is not said; services need 2 addresses" in found[1][2]
    assert "limit 16, what is in use is not said; services need 16 vcpus" in found[2][2]
    ((_, _, _, out),) = [
        each for each in said("aws-ec2", kind="eks", machine_types=["g6.2xlarge"], replicas=3) if each[0] == "error"
    ]
    assert "--quota-code L-DB2E81BA --desired-value 24 --region eu-central-1" in out


@pytest.mark.parametrize(
    ("was", "now", "told"),
    [
        ("projects/example-prod/", "projects/other-project/", "of other-project were given"),
        ('"name": "us-central1"', '"name": "us-east4"', "of us-east4 were given, not of us-central1"),
    ],
)
def test_figures_of_another_project_or_region_are_refused_and_not_counted(was: str, now: str, told: str) -> None:
    stack, settled = planned()
    text = (RECORDED / "gcp-region.json").read_text()
    assert was in text
    found = judge(stack, settled.quotas, limits(stack.target, text.replace(was, now)))
    assert told in found[0].message
    assert found[0].level == "error"
    assert sum("the limit is not known" in each.message for each in found) == 3


@pytest.mark.parametrize("text", ["", "[]", "{}", "nothing", '{"quotas": 7}', '{"Quotas": [{"QuotaArn": "x"}]}'])
@pytest.mark.parametrize("kind", ["gke", "eks"])
def test_anything_that_no_command_prints_is_not_read(kind: str, text: str) -> None:
    stack, _ = planned(kind)
    with pytest.raises(Unread):
        limits(stack.target, text)


@pytest.mark.parametrize("limit", [0, 1, 2, 3])
def test_what_is_called_too_small_is_what_the_stand_in_of_the_cloud_refuses(limit: int, tmp_path: Path) -> None:
    (tmp_path / "quota.yaml").write_text(yaml.safe_dump({"NVIDIA_L4_GPUS": limit}))
    size = Size("gpus", "g2-standard-8", ("us-central1-a",), 2, Capacity.ON_DEMAND)
    stack, settled = planned(replicas=2, max_nodes=2)
    mine = Limit("example-prod", "us-central1", "NVIDIA_L4_GPUS", limit, 0)
    wrong = [each for each in judge(stack, settled.quotas, [mine]) if each.level == "error"]
    assert bool(wrong) == bool(refusal("gcp", tmp_path, size, ())) == (limit < 2)


Installed = Callable[[str, str], None]


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Installed:
    """Puts a command on the PATH, which has nothing else of ours: a shell script that notes its words."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))

    def put(name: str, body: str) -> None:
        noted = shlex.quote(str(tmp_path / "words"))
        (folder / name).write_text(f'#!/bin/sh\necho "{name} $*" >> {noted}\n{body}\n')
        (folder / name).chmod(0o755)

    return put


def written(tmp_path: Path, **kwargs: Any) -> Path:
    path = tmp_path / "Pulumi.prod.yaml"
    path.write_text(yaml.safe_dump({"config": {f"modelberth:{k}": v for k, v in document(**kwargs).items()}}))
    return path


def printing(*cases: tuple[str, str]) -> str:
    """A script that prints a recorded document where its words hold a word."""
    lines = [f"*{word}*) /bin/cat {shlex.quote(str(RECORDED / name))}.json ;;" for word, name in cases]
    return 'case "$*" in\n' + "\n".join(lines) + "\n*) exit 3 ;;\nesac"


GCLOUD = printing(("regions", "gcp-region"), ("project-info", "gcp-project"))


def test_preflight_asks_the_clouds_own_command_and_finds_nothing_missing(installed: Installed, tmp_path: Path) -> None:
    installed("gcloud", GCLOUD)
    done = ran("preflight", str(written(tmp_path)))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nothing is missing" in done.stdout
    assert (tmp_path / "words").read_text().splitlines() == [
        "gcloud compute regions describe us-central1 --project=example-prod --format=json",
        "gcloud compute project-info describe --project=example-prod --format=json",
    ]


def test_preflight_stops_with_exit_code_1_where_a_quota_is_too_small(installed: Installed, tmp_path: Path) -> None:
    installed("gcloud", GCLOUD)
    done = ran("preflight", str(written(tmp_path, replicas=4, max_nodes=4)))
    assert done.returncode == 1
    assert "error: pools.gpus: NVIDIA_L4_GPUS in us-central1: limit 4, 1 in use; services need 4 gpus" in done.stdout
    assert "1 of 1 findings would stop" in done.stderr


def test_without_the_command_preflight_prints_what_to_run_and_reads_its_output(
    installed: Installed, tmp_path: Path
) -> None:
    stack = str(written(tmp_path, kind="eks", machine_types=["g6.2xlarge"]))
    done = ran("preflight", stack)
    assert done.returncode == 3
    command = "aws service-quotas list-service-quotas --service-code ec2 --region eu-central-1 --output json"
    assert "aws is not installed" in done.stderr
    assert f"{command} > quotas-1.json" in done.stderr
    assert "--quotas quotas-1.json" in done.stderr
    read = ran("preflight", stack, "--quotas", str(RECORDED / "aws-ec2.json"))
    assert (read.returncode, read.stderr) == (0, "")
    assert "limit 16" in read.stdout
    assert not (tmp_path / "words").exists()


def test_a_login_that_ended_is_told_in_the_commands_own_words_and_the_rest_is_judged(
    installed: Installed, tmp_path: Path
) -> None:
    installed("gcloud", 'case "$*" in *regions*) echo "ERROR: log in again" >&2; exit 1 ;; esac\n' + GCLOUD)
    done = ran("preflight", str(written(tmp_path)))
    assert done.returncode == 3
    assert "gcloud: ERROR: log in again" in done.stderr
    assert "NVIDIA_L4_GPUS in us-central1: the limit is not known" in done.stdout


def test_a_command_that_never_answers_is_left(installed: Installed) -> None:
    installed("gcloud", "exec /bin/sleep 30")
    with pytest.raises(asked.Unanswered, match=r"did not answer in 0\.2 s"):
        asked.answer(("gcloud", "compute"), timeout_s=0.2)


def test_words_of_a_command_are_never_read_by_a_shell(installed: Installed, tmp_path: Path) -> None:
    installed("gcloud", 'for each in "$@"; do echo "[$each]"; done')
    text = asked.answer(("gcloud", f"a; touch {tmp_path}/made", "$(b)"))
    assert text.splitlines() == [f"[a; touch {tmp_path}/made]", "[$(b)]"]
    assert not (tmp_path / "made").exists()


def test_a_file_that_is_none_of_the_documents_is_refused_by_name(installed: Installed, tmp_path: Path) -> None:
    bad = tmp_path / "quotas-1.json"
    bad.write_text(json.dumps({"token": "canary-value"}))
    done = ran("preflight", str(written(tmp_path)), "--quotas", str(bad))
    assert done.returncode == 1
    assert f"--quotas {bad}: it is not what the commands print" in done.stderr
    assert "canary" not in done.stdout + done.stderr


@pytest.mark.parametrize("words", [("--kubeconfig", "here"), ("--context", "dev")])
def test_options_of_a_cluster_that_exists_are_bad_usage_where_one_is_made(
    words: tuple[str, ...], tmp_path: Path
) -> None:
    assert ran("preflight", str(written(tmp_path, kind="eks")), *words).returncode == 2


def test_a_clouds_cluster_that_exists_is_asked_for_what_the_stack_names_when_a_context_is_given(
    installed: Installed, tmp_path: Path
) -> None:
    installed("gcloud", GCLOUD)
    spec = document()
    spec["services"]["chat"] |= {"token": {"secret": "hub"}}
    spec["target"]["namespace"] = "models"
    stack = tmp_path / "Pulumi.prod.yaml"
    stack.write_text(yaml.safe_dump({"config": {f"modelberth:{k}": v for k, v in spec.items()}}))
    with server(SERVED) as url:
        kubeconfig = written_kubeconfig(tmp_path, url)
        done = ran("preflight", str(stack), "--kubeconfig", str(kubeconfig), "--context", "c")
    assert done.returncode == 1
    assert "error: services.chat.token: Secret hub in namespace models does not exist" in done.stdout
    assert "kubectl create namespace models first; kubectl create secret generic hub" in done.stdout
    assert "pools.gpus" not in done.stdout
    assert "the account's quotas: nothing is missing" in done.stdout


def test_every_command_names_the_account_or_the_region_it_is_about() -> None:
    for kind, word in (("gke", "--project=example-prod"), ("eks", "eu-central-1")):
        stack, settled = planned(kind)
        commands = asks(stack.target, [each.need for each in settled.quotas.wanted])
        assert commands
        assert all(word in each.words for each in commands)
