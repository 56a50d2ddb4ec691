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
    with pytest.raises(EngineError, match="pulumi up --stack prod"):
        played.real(["up"], "prod", "gke")
    assert "in the account that you are logged in to" in capsys.readouterr().out


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
