"""The pack as a process of its own, started as the engine starts it: folder, command, two variables."""

from pathlib import Path

import yaml
from google.protobuf import empty_pb2
from pulumi.runtime.proto import analyzer_pb2, analyzer_pb2_grpc

from modelberth.rules import ALL
from tests.policies.servicer import analyze, names, request, stopping, verdicts
from tests.process.conftest import PACK
from tests.rules.samples import deployment, guide, rule, vllm


def test_it_presents_every_rule(pack: analyzer_pb2_grpc.AnalyzerStub) -> None:
    info = pack.GetAnalyzerInfo(empty_pb2.Empty())
    assert info.name == "modelberth"
    assert [policy.name for policy in info.policies] == ["settings", *(each.policy_name for each in ALL)]


def test_it_lets_a_manifest_pass_that_fits(pack: analyzer_pb2_grpc.AnalyzerStub) -> None:
    found = verdicts(pack.Analyze(request(deployment(vllm()))))
    assert stopping(found) == []
    assert found == analyze(deployment(vllm()))


def test_it_stops_the_guides_manifest(pack: analyzer_pb2_grpc.AnalyzerStub) -> None:
    found = verdicts(pack.Analyze(request(guide())))
    assert stopping(found) == ["SZ-01", "WH-21"]
    assert ("ADVISORY", "WH-06") in names(found)
    assert "the largest context that fits is 30,864 tokens" in found[0][2]


def test_it_takes_levels_from_the_engine(pack: analyzer_pb2_grpc.AnalyzerStub) -> None:
    name = rule("WH-21").policy_name
    off = analyzer_pb2.PolicyConfig(enforcementLevel=analyzer_pb2.DISABLED)
    pack.Configure(analyzer_pb2.ConfigureAnalyzerRequest(policyConfig={name: off}))
    try:
        assert ("MANDATORY", "WH-21") not in names(verdicts(pack.Analyze(request(guide()))))
    finally:
        pack.Configure(analyzer_pb2.ConfigureAnalyzerRequest())


def test_its_manifest_pins_the_toolchain_and_shares_the_environment() -> None:
    manifest = yaml.safe_load((PACK / "PulumiPolicy.yaml").read_text(encoding="utf-8"))
    assert manifest["runtime"] == {"name": "python", "options": {"toolchain": "pip", "virtualenv": "../.venv"}}
    assert isinstance(manifest["version"], str)
    requirements = Path(PACK / "requirements.txt").read_text(encoding="utf-8")
    assert "-r ../requirements.txt" in requirements
