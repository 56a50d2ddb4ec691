"""The command ``modelberth check`` as people and pipelines run it: output, exit codes, time."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.modelberth.commands import ran
from tests.modelberth.samples import ROOT
from tests.rules.samples import CANARY, deployment, guide, vllm

GUIDE = "examples/guide/deployment.yaml"


def check(*words: str, cwd: Path = ROOT, stdin: str = "") -> subprocess.CompletedProcess[str]:
    done = ran("check", *words, cwd=cwd, stdin=stdin)
    assert "Traceback" not in done.stderr
    return done


def as_process(*words: str) -> subprocess.CompletedProcess[str]:
    """The same as a process of its own."""
    command = [sys.executable, "-m", "modelberth", "check", *words]
    environment = os.environ | {"COLUMNS": "200", "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, env=environment, check=False)


def rules(done: subprocess.CompletedProcess[str]) -> set[str]:
    return {finding["rule"] for finding in json.loads(done.stdout)["findings"]}


def write(path: Path, *manifests: object) -> Path:
    path.write_text(yaml.safe_dump_all(manifests), encoding="utf-8")
    return path


def broken(name: str) -> dict[str, object]:
    """The guide's manifest under another name."""
    return guide() | {"metadata": {"name": name}}


def policy(tmp_path: Path, **settings: object) -> Path:
    return write(tmp_path / "policy.yaml", {"settings": settings})


def test_the_guide_s_manifest_is_stopped_with_the_context_that_would_fit() -> None:
    done = check(GUIDE)
    assert (done.returncode, done.stderr) == (1, "")
    assert f"{GUIDE}: Deployment default/vllm-server\n" in done.stdout
    assert "\n  12:9 mandatory SZ-01 The model fits its accelerators\n" in done.stdout
    assert "needs 40.00 GiB of KV cache" in done.stdout
    assert "way out: --max-model-len 30864" in done.stdout
    assert done.stdout.splitlines()[-1].endswith("; profile prod")


def test_with_a_context_that_fits_only_the_rest_is_told(tmp_path: Path) -> None:
    text = (ROOT / GUIDE).read_text().replace('"--enable-prefix-caching"]', '"--max-model-len", "8192"]')
    path = tmp_path / "deployment.yaml"
    path.write_text(text)
    done = check(str(path), "--format", "json")
    assert done.returncode == 1
    assert "SZ-01" not in rules(done)
    assert {"WH-06", "WH-21"} <= rules(done)


def test_what_is_right_ends_with_0(tmp_path: Path) -> None:
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "v"}}
    done = check(str(write(tmp_path / "a.yaml", config)))
    assert (done.returncode, done.stdout) == (0, "1 object, 0 findings, 0 that stop; profile prod\n")


def test_the_standard_input_is_read_and_an_empty_one_is_no_success() -> None:
    done = check("-", stdin=(ROOT / GUIDE).read_text())
    assert done.returncode == 1
    assert "standard input: Deployment default/vllm-server" in done.stdout
    done = check("-")
    assert done.returncode == 2
    assert "cannot read: standard input: holds no Kubernetes object" in done.stdout


def test_all_problems_and_all_findings_are_told_at_once(tmp_path: Path) -> None:
    write(tmp_path / "a.yaml", broken("one"))
    (tmp_path / "b.yaml").write_text(f"a: {CANARY}\nb: [1")
    (tmp_path / "c.yaml").write_bytes(b"a: \xff")
    write(tmp_path / "d.yaml", broken("two"))
    done = check(".", "none.yaml", cwd=tmp_path)
    assert done.returncode == 2
    for part in ("a.yaml: Deployment default/one", "d.yaml: Deployment default/two"):
        assert part in done.stdout
    for part in ("b.yaml:3:1: not valid YAML", "c.yaml: not UTF-8 text", "none.yaml: is not there"):
        assert f"cannot read: {part}" in done.stdout
    assert CANARY not in done.stdout + done.stderr


def test_custom_resources_whose_pods_no_rule_reads_are_counted_by_kind(tmp_path: Path) -> None:
    container = {"name": "head", "image": "example.com/ray:2.0"}
    head = {"template": {"spec": {"containers": [container]}}}
    ray = {"apiVersion": "ray.io/v1", "kind": "RayCluster", "metadata": {"name": "r"}, "spec": {"headGroupSpec": head}}
    model = {"modelFormat": {"name": "huggingface"}, "storageUri": "hf://a/b"}
    kserve = {"apiVersion": "serving.kserve.io/v1beta1", "kind": "InferenceService", "spec": {"predictor": model}}
    scaler = {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "spec": {"scaleTargetRef": {"name": "r"}}}
    file = write(tmp_path / "all.yaml", ray, ray | {"metadata": {"name": "s"}}, kserve, scaler)
    done = check(str(file))
    assert "3 objects with pods that no rule reads (InferenceService, RayCluster)" in done.stdout
    told = json.loads(check(str(file), "--format", "json").stdout)
    assert told["unjudged"] == {"InferenceService": 1, "RayCluster": 2}
    assert done.returncode == 0


def test_two_runs_say_the_same(tmp_path: Path) -> None:
    for name in ("z", "a", "m"):
        write(tmp_path / f"{name}.yaml", broken(f"{name}1"), broken(f"{name}2"))
    assert check(str(tmp_path)).stdout == check(str(tmp_path)).stdout


def test_profiles_decide_what_stops(tmp_path: Path) -> None:
    container = vllm(image="vllm/vllm-openai:latest")
    path = write(tmp_path / "a.yaml", {"apiVersion": "apps/v1", **deployment(container)})

    def level(*words: str) -> str:
        found = json.loads(check(str(path), "--format", "json", *words).stdout)["findings"]
        return next(each["enforcement"] for each in found if each["rule"] == "WH-06")

    strict = policy(tmp_path, profile="strict")
    assert [level(), level("--profile", "strict"), level("--policy", str(strict))] == [
        "advisory",
        "mandatory",
        "mandatory",
    ]
    assert level("--policy", str(strict), "--profile", "dev") == "advisory"


@pytest.mark.parametrize("ending", ["yaml", "json"])
def test_exemptions_let_through_until_they_end_and_both_are_told(tmp_path: Path, ending: str) -> None:
    names = {"rules": ["SZ-01"], "name": "default/vllm-server"}
    until = {"reason": "moves next week", "expires": "2999-01-01"}
    ended = {"rules": ["WH-21"], "name": "default/vllm-server", "reason": "a trial", "expires": "2020-01-01"}
    path = tmp_path / f"policy.{ending}"
    content = {"settings": {"exemptions": [names | until, ended]}}
    path.write_text(json.dumps(content) if ending == "json" else yaml.safe_dump(content))
    done = check(GUIDE, "--policy", str(path))
    assert done.returncode == 1
    assert "mandatory SZ-01" not in done.stdout
    assert "mandatory WH-21" in done.stdout
    assert "the exemption from this rule ended on 2020-01-01 (a trial)" in done.stdout
    assert (
        "\nexempt: SZ-01 does not apply to Deployment default/vllm-server until 2999-01-01: moves next week\n"
        in done.stdout
    )
    assert "\nexpired: the exemption from WH-21 ended on 2020-01-01: a trial\n" in done.stdout
    assert ", 1 exempt, 1 expired exemption;" in done.stdout.splitlines()[-1]


def test_a_finding_that_is_exempt_stops_nothing(tmp_path: Path) -> None:
    everything = {"rules": ["*"], "name": "*", "reason": "legacy", "expires": "2999-01-01"}
    assert check(GUIDE, "--policy", str(policy(tmp_path, exemptions=[everything]))).returncode == 0


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("settings: {profile: prd}", "settings.profile"),
        ("settings: 3", "settings"),
        ("SZ-99: advisory", "SZ-99: is no rule of this pack"),
        ("settings: {exemptions: [{rules: [SZ-01], name: a, expires: 2999-01-01}]}", "reason"),
        ("a: [1", "policy.yaml, line 2"),
        ("- a", "expected a mapping"),
    ],
)
def test_a_wrong_policy_file_judges_nothing(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(text)
    for more in ([], ["--profile", "dev"]):
        done = check(GUIDE, "--policy", str(path), *more)
        assert done.returncode == (2 if "prd" not in text or not more else 1)
        if done.returncode == 2:
            assert done.stdout == ""
            assert done.stderr.startswith("error: ")
            assert told in done.stderr


def test_a_policy_file_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    done = check(GUIDE, "--policy", str(tmp_path / "none.yaml"))
    assert (done.returncode, done.stderr) == (2, f"error: {tmp_path}/none.yaml: No such file or directory\n")


def test_nothing_to_check_is_said() -> None:
    done = check()
    assert (done.returncode, done.stdout) == (2, "")
    assert "nothing to check" in done.stderr


def test_a_report_is_written_to_a_file_and_the_text_is_still_told(tmp_path: Path) -> None:
    path = tmp_path / "report.sarif"
    done = check(GUIDE, "--format", "sarif", "--output", str(path))
    assert done.returncode == 1
    assert done.stdout == check(GUIDE).stdout
    assert json.loads(path.read_text())["version"] == "2.1.0"
    done = check(GUIDE, "--output", str(tmp_path))
    assert (done.returncode, done.stderr) == (2, f"error: {tmp_path}: Is a directory\n")


@pytest.mark.parametrize("name", ["SZ-01", "sz-01", "model-fits", "sz-01-model-fits"])
def test_a_rule_is_explained_by_any_of_its_names(name: str) -> None:
    done = check("--explain", name)
    assert done.returncode == 0
    for part in ("SZ-01 model-fits", "The model fits its accelerators.", "way out", "prod mandatory", "source"):
        assert part in done.stdout


def test_an_unknown_rule_is_met_with_the_nearest() -> None:
    done = check("--explain", "SZ-1")
    assert done.returncode == 2
    assert "did you mean" in done.stderr


def test_a_name_cannot_play_tricks_on_a_terminal_or_a_comment(tmp_path: Path) -> None:
    evil = "a\x1b[2J\u202e|`</summary><script>@org"
    path = write(tmp_path / "a.yaml", broken(evil))
    for words in ([], ["--format", "markdown"]):
        shown = check(str(path), *words).stdout
        assert "Deployment" in shown
        assert not {"\x1b", "\u202e"} & set(shown)
    outside = re.sub(r"`[^`]*`", "", shown)
    assert not [part for part in ("<script>", "@org") if part in outside]


def cpu_s(*words: str) -> float:
    """What a process needs, whatever else runs on this machine."""
    before = os.times()
    as_process(*words)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def test_a_process_says_the_same_and_ends_alike() -> None:
    done, here = as_process(GUIDE), check(GUIDE)
    assert (done.returncode, done.stdout, done.stderr) == (here.returncode, here.stdout, here.stderr)


def test_one_file_takes_less_than_a_second() -> None:
    assert min(cpu_s(GUIDE) for _ in range(3)) < 1


def service(name: str) -> list[dict[str, object]]:
    """Ten objects as one service of a cluster has them."""
    about = {"metadata": {"name": name, "namespace": "models"}}
    server = {"apiVersion": "apps/v1", **deployment(vllm(image="vllm/vllm-openai:latest"))}
    server = json.loads(json.dumps(server).replace('"app": "server"', f'"app": "{name}"')) | about
    server["spec"]["template"]["metadata"] = {"labels": {"app": name}}
    ports = {"selector": {"app": name}, "ports": [{"port": 8000}]}
    others = [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"{name}-{n}"}} for n in range(8)]
    return [server, {"apiVersion": "v1", "kind": "Service", "spec": ports} | about, *others]


@pytest.mark.parametrize("form", ["yaml", "json"])
def test_a_thousand_objects_take_less_than_three_seconds(tmp_path: Path, form: str) -> None:
    objects = [each for index in range(100) for each in service(f"n{index}")]
    path = tmp_path / f"all.{form}"
    if form == "json":
        path.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}, indent=1))
    else:
        write(path, *objects)
    done = check(str(path))
    assert done.stdout.splitlines()[-1].startswith("1,000 objects, ")
    assert "WH-06" in done.stdout
    assert min(cpu_s(str(path)) for _ in range(2)) < 3
