"""`make up` of a cloud's stack: who plays the cloud, and that nothing but its name asks for an account."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from toolchain import build, local, played
from toolchain.engine import EngineError


def test_credentials_do_not_choose_an_account(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CLOUD", raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "key.json")
    assert not local.is_real()


def test_an_account_is_used_when_asked_for_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOUD", "real")
    assert local.is_real()


def test_another_word_is_refused_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOUD", "aws")
    with pytest.raises(EngineError, match="CLOUD=real"):
        local.is_real()


def test_without_pulumi_an_account_is_out_of_reach_and_the_plain_command_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(build, "installed_pulumi", lambda: None)
    with pytest.raises(EngineError, match="a real account needs an installed pulumi"):
        played.real_up(local.POLICIES, "prod", "gke")
    assert "in the account that you are logged in to" in capsys.readouterr().out


@pytest.mark.parametrize(("gpus", "code"), [(0.0, 1), (8.0, 0), (None, 0)], ids=["too few", "enough", "not logged in"])
def test_the_first_up_in_an_account_asks_its_quotas_and_stops_where_they_are_too_small(
    gpus: float | None, code: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    metrics = ("CPUS", "NVIDIA_L4_GPUS", "SSD_TOTAL_GB", "GPUS_ALL_REGIONS")
    limits = [{"metric": each, "limit": gpus if "GPUS" in each else 9999.0, "usage": 0.0} for each in metrics]
    account = "https://www.googleapis.com/compute/v1/projects/example-dev"
    for kind, name in (("region", "us-central1"), ("project", "example-dev")):
        of = {
            "kind": f"compute#{kind}",
            "name": name,
            "selfLink": f"{account}/regions/{name}" if kind == "region" else account,
        }
        (tmp_path / kind).write_text(json.dumps({**of, "quotas": limits}))
    printing = f'case "$*" in *regions*) cat {tmp_path}/region ;; *) cat {tmp_path}/project ;; esac'
    asked = tmp_path / "asked"
    for name, prints in (("gcloud", printing if gpus is not None else "exit 1"), ("pulumi", "")):
        (tmp_path / name).write_text(f"#!/bin/sh\necho {name} $* >> {asked}\n{prints}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(build, "installed_pulumi", lambda: tmp_path / "pulumi")
    assert played.real_up(local.POLICIES, "dev", "gke") == code
    lines = asked.read_text().splitlines()
    assert "gcloud compute regions describe" in "\n".join(lines)
    assert [line.split()[1] for line in lines if line.startswith("pulumi")] == ["stack", *(["up"] if code == 0 else [])]


def exported(*, protect: bool) -> str:
    """A state as `pulumi stack export` prints it."""
    resources = [
        {"type": "pulumi:pulumi:Stack", "custom": False},
        {"type": "pulumi:providers:aws", "custom": True, "id": "provider"},
        {"type": "kubernetes:core/v1:Namespace", "custom": True, "id": "models"},
        {"type": "modelberth:index:EksCluster", "custom": False},
        {"type": "aws:eks/cluster:Cluster", "custom": True, "id": "prod", "protect": protect},
        {"type": "aws:s3/bucket:Bucket", "custom": True, "id": "weights", "protect": True},
    ]
    return json.dumps({"deployment": {"resources": resources}})


def test_what_a_cloud_keeps_is_told_without_components_providers_and_objects() -> None:
    assert played.kept(exported(protect=True)) == ("aws:eks/cluster:Cluster prod", "aws:s3/bucket:Bucket weights")
    assert played.kept(json.dumps({"deployment": {"manifest": {}}})) == ()


def test_what_an_account_keeps_although_the_stack_forgets_it_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = {"type": "aws:kms/key:Key", "custom": True, "id": "k-1", "retainOnDelete": True}
    (tmp_path / "before").write_text(json.dumps({"deployment": {"resources": [key]}}))
    (tmp_path / "after").write_text(json.dumps({"deployment": {"resources": []}}))
    installed = tmp_path / "pulumi"
    installed.write_text(f"#!/bin/sh\ncd {tmp_path}\ncase $1 in destroy) mv after before ;; *) cat before ;; esac\n")
    installed.chmod(0o755)
    monkeypatch.setattr(build, "installed_pulumi", lambda: installed)
    assert played.real_down("prod", "eks") == 0
    assert "the account keeps, and the stack has forgotten, aws:kms/key:Key k-1" in capsys.readouterr().out


def test_a_cluster_that_is_protected_stops_down_before_its_nodes_go(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert played.protected_clusters(exported(protect=False)) == ()
    asked = tmp_path / "asked"
    installed = tmp_path / "pulumi"
    installed.write_text(f"#!/bin/sh\necho $* >> {asked}\ncat {tmp_path}/state.json\n")
    installed.chmod(0o755)
    (tmp_path / "state.json").write_text(exported(protect=True))
    monkeypatch.setattr(build, "installed_pulumi", lambda: installed)
    with pytest.raises(EngineError, match=r"aws:eks/cluster:Cluster prod is protected: .* deletion_protection: false"):
        played.real_down("prod", "eks")
    assert asked.read_text() == "stack export --stack prod\n"
