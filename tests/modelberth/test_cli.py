"""The command as people run it: output, errors and an exit code."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.modelberth.commands import ran
from tests.modelberth.samples import CPU_POOL, L4_POOL, LLAMA_8B, LLAMA_70B, ROOT, document, stack_document


def good(*words: str, cwd: Path = ROOT) -> str:
    done = ran(*words, cwd=cwd)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def bad(*words: str, cwd: Path = ROOT) -> str:
    done = ran(*words, cwd=cwd)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the local stack that a test may change."""
    shutil.copytree(ROOT / "stacks", tmp_path / "stacks")
    return tmp_path


def write_spec(folder: Path, content: object, name: str = "spec.yaml") -> Path:
    path = folder / name
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def test_the_command_that_is_installed_says_the_same() -> None:
    command = [Path(sys.executable).with_name("modelberth"), "fit", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=os.environ | {"COLUMNS": "200"})
    assert (done.returncode, done.stdout, done.stderr) == (0, good("fit", "--help"), "")


def test_a_stack_is_planned_by_its_name_or_its_file() -> None:
    assert good("plan", "local") == good("plan", "stacks/Pulumi.local.yaml")


def test_json_parses_and_has_a_schema_version() -> None:
    plan = json.loads(good("plan", "local", "--json"))
    assert plan["schema_version"] == 1
    assert set(plan["services"]) == {"chat", "draft"}


def test_markdown_has_a_heading_for_every_service() -> None:
    assert good("plan", "local", "--markdown").count("### ") == 2


@pytest.mark.parametrize("name", ["spec.yaml", "My_Model.v2.yaml", "чат.yaml", "spec.json"])
def test_a_bare_spec_is_planned_whatever_its_file_is_called(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text(json.dumps(document(typical_tokens=3000)), encoding="utf-8")
    assert f"{LLAMA_8B} on 1 x g2-standard-4" in good("plan", str(path))


def test_planning_changes_no_file(project: Path) -> None:
    before = {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}
    good("plan", "local", cwd=project)
    assert {path: path.read_bytes() for path in project.rglob("*") if path.is_file()} == before


def test_an_update_without_a_change_writes_the_same_lock(project: Path) -> None:
    lock = project / "stacks" / "local.plan.yaml"
    before = lock.read_text()
    assert good("plan", "local", "--update", cwd=project).strip() == f"written: {lock}"
    assert lock.read_text() == before


def test_an_outgrown_lock_names_the_command_and_the_command_works(project: Path) -> None:
    path = project / "stacks" / "Pulumi.local.yaml"
    path.write_text(path.read_text().replace("    chat:\n", "    chat:\n      context: 16384\n"))
    lock = (project / "stacks" / "local.plan.yaml").read_text()
    told = bad("plan", "local", cwd=project)
    assert "run: modelberth plan --update local" in told
    assert "\nmodelberth plan --update local would change, and has not:\nchat: context 8192 -> 16384\n" in told
    assert "  chat: flag --max-model-len 8192 -> 16384\n" in told
    assert "  chat: pods restart: " in told
    assert (project / "stacks" / "local.plan.yaml").read_text() == lock
    assert "would change" not in bad("plan", "local", "--json", cwd=project)
    assert "chat: context 8192 -> 16384\n" in good("plan", "--update", "local", cwd=project)
    assert "16,384 tokens" in good("plan", "local", cwd=project)


def test_an_update_prints_machine_replacements_first(project: Path) -> None:
    path = project / "stacks" / "Pulumi.local.yaml"
    path.write_text(
        path.read_text()
        .replace("[nvidia-l4]", "[nvidia-a100-80gb]")
        .replace("g2-standard-8", "a2-ultragpu-1g")
        .replace("concurrency: 4", "concurrency: 3")
    )
    lines = good("plan", "local", "--update", cwd=project).splitlines()
    replacing = [line.startswith("replaces machines: ") for line in lines]
    assert replacing == sorted(replacing, reverse=True)
    assert lines[0] == "replaces machines: chat: accelerator nvidia-l4 -> nvidia-a100-80gb"
    assert "draft: concurrency 4 -> 3" in lines


def test_a_refused_update_writes_nothing(project: Path) -> None:
    path, lock = project / "stacks" / "Pulumi.local.yaml", project / "stacks" / "local.plan.yaml"
    path.write_text(path.read_text().replace("Qwen/Qwen2.5-7B-Instruct", LLAMA_70B, 1))
    before = lock.read_text()
    assert "fits nothing that is allowed" in bad("plan", "local", "--update", cwd=project)
    assert lock.read_text() == before


def test_a_first_lock_is_written_beside_the_stack(tmp_path: Path) -> None:
    path = write_spec(
        tmp_path,
        stack_document(pools={"l4": L4_POOL, "cpu": CPU_POOL}, services={"chat": document(typical_tokens=3000)}),
        "Pulumi.dev.yaml",
    )
    out = good("plan", str(path), "--update")
    assert out.splitlines()[0] == "chat: service absent -> planned"
    assert (
        yaml.safe_load((tmp_path / "dev.plan.yaml").read_text())["services"]["chat"]["machine_type"] == "g2-standard-8"
    )


def test_a_lock_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    services = {"chat": document(typical_tokens=3000)}
    path = write_spec(tmp_path, stack_document(pools={"l4": L4_POOL}, services=services), "Pulumi.dev.yaml")
    (tmp_path / "dev.plan.yaml").mkdir()
    done = ran("plan", str(path), "--update")
    assert done.returncode == 1
    assert done.stderr == f"error: {tmp_path / 'dev.plan.yaml'}: Is a directory\n"


def test_a_bare_spec_has_no_lock_to_update(tmp_path: Path) -> None:
    assert "a bare spec has no plan lock" in bad("plan", str(write_spec(tmp_path, document())), "--update")


STACKS = ", ".join(sorted(path.name.split(".")[1] for path in (ROOT / "stacks").glob("Pulumi.*.yaml")))


@pytest.mark.parametrize("name", ["prodution", "missing.yaml", "stacks", "x" * 300])
def test_a_missing_file_names_the_stacks_there_are(name: str) -> None:
    assert bad("plan", name) == f"error: no such file or stack: {name}; stacks here: {STACKS}\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff\xfe\x00", "not UTF-8 text"),
        (b"a: [1", "line 2"),
        (b"- 1", "expected a mapping"),
        (b"", "expected a mapping"),
        (b"context: 1\ncontext: 2", "a key appears twice"),
    ],
)
def test_a_file_that_is_no_spec_is_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "spec.yaml"
    path.write_bytes(content)
    error = bad("plan", str(path))
    assert message in error
    assert error.count("\n") == 1


def test_all_problems_of_a_spec_are_printed_at_once(tmp_path: Path) -> None:
    error = bad("plan", str(write_spec(tmp_path, document(context="32k", concurency=1, token="hf_planted"))))
    assert error.startswith("error: 3 problems, nothing was created\n")
    assert "hf_planted" not in error


def test_a_model_that_fits_a_gpu_ends_with_zero_and_its_memory() -> None:
    out = good("fit", LLAMA_8B, "--gpu", "nvidia-l4", "--context", "8192")
    assert out.startswith("1 x NVIDIA L4: fits, ")
    assert "= KV cache" in out


def test_the_fewest_gpus_that_fit_are_found() -> None:
    out = good("fit", LLAMA_70B, "--gpu", "nvidia-a100-80gb", "--context", "8192").splitlines()
    assert out[0].startswith("1 x NVIDIA A100 80GB: does not fit, ")
    assert out[1].startswith("2 x NVIDIA A100 80GB: fits, ")


def test_a_model_that_does_not_fit_ends_with_one() -> None:
    done = ran("fit", LLAMA_70B, "--gpu", "nvidia-l4", "--tensor-parallel", "1")
    assert done.returncode == 1
    assert done.stdout.startswith("1 x NVIDIA L4: does not fit, ")


def test_what_is_too_close_to_call_is_unknown_and_ends_with_one() -> None:
    done = ran("fit", LLAMA_8B, "--gpu", "nvidia-l4", "--tensor-parallel", "1", "--context", "36000")
    assert done.returncode == 1
    assert done.stdout.startswith("1 x NVIDIA L4: unknown, too close to call, ")


def test_without_a_gpu_the_whole_catalog_is_searched() -> None:
    out = good("fit", LLAMA_8B, "--context", "8192")
    assert out.startswith(f"{LLAMA_8B} as bf16 with vllm 0.33.0: 8,192 tokens of context, 1 at once\nsmallest: 1 x ")
    assert "cheapest single GPU: " in out
    found = json.loads(good("fit", LLAMA_8B, "--context", "8192", "--json"))
    assert found["cheapest_single_gpu"] == found["machines"][0]["machine_type"]
    assert found["losers"]


def test_nothing_that_holds_it_ends_with_one() -> None:
    done = ran("fit", LLAMA_70B, "--concurrency", "1000000")
    assert done.returncode == 1
    assert "no GPU of the catalog holds it" in done.stdout


def test_a_search_by_speed_prints_it() -> None:
    traffic = ["--input-tokens", "1000", "--output-tokens", "200", "--context", "8192"]
    out = good("fit", LLAMA_8B, "--objective", "cost_per_token", *traffic)
    assert "USD per million tokens; " in out
    one = good("fit", LLAMA_8B, "--gpu", "nvidia-h100-80gb", *traffic)
    assert "\nspeed: " in one
    assert "largest context with 1 at once: 131,072; most requests at once: " in one


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--objective", "speed"], "unknown objective 'speed'"),
        (["--objective", "latency"], "objective latency needs --input-tokens and --output-tokens"),
        (["--input-tokens", "10"], "speed needs both --input-tokens and --output-tokens"),
        (["--engine", "vlm"], "unknown engine 'vlm'; did you mean 'vllm'?"),
    ],
)
def test_a_question_that_is_not_complete_is_one_line(words: list[str], message: str) -> None:
    error = bad("fit", LLAMA_8B, *words)
    assert error.startswith(f"error: {message}")
    assert error.count("\n") == 1


def test_fit_as_json_parses() -> None:
    fit = json.loads(good("fit", LLAMA_8B, "--gpu", "nvidia-l4", "--context", "8192", "--json"))
    assert (fit["schema_version"], fit["tensor_parallel"], fit["verdict"]) == (1, 1, "fits")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["meta-llama/Llama-3.1-8B-Instrct", "--gpu", "nvidia-l4"],
            "unknown model 'meta-llama/Llama-3.1-8B-Instrct'; did",
        ),
        ([LLAMA_8B, "--gpu", "nvidia-l5"], "unknown GPU 'nvidia-l5'; did you mean 'nvidia-l4'"),
        (
            [LLAMA_8B, "--gpu", "nvidia-l4", "--quantization", "awqq"],
            "unknown quantization 'awqq'; did you mean 'awq'?",
        ),
    ],
)
def test_an_unknown_name_is_one_line(words: list[str], message: str) -> None:
    error = bad("fit", *words)
    assert error.startswith(f"error: {message}")
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    "words",
    [
        ["fit"],
        ["fit", LLAMA_8B, "--gpu", "nvidia-l4", "--context", "32k"],
        ["fit", LLAMA_8B, "--gpu", "nvidia-l4", "--context", "0"],
        ["plan"],
        ["paln", "local"],
    ],
)
def test_bad_usage_ends_with_two(words: list[str]) -> None:
    done = ran(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr


def test_models_are_listed_and_searched() -> None:
    found = good("models", "llama-3.1-8b").splitlines()
    assert {"meta-llama/Llama-3.1-8B-Instruct", "meta-llama/Meta-Llama-3.1-8B"} <= set(found)
    assert all("llama-3.1-8b" in line.lower() for line in found)
    assert len(good("models").splitlines()) > 10 * len(found)


def test_a_bare_spec_whose_file_begins_with_a_digit_is_planned_under_a_name_that_a_service_may_have(
    tmp_path: Path,
) -> None:
    path = tmp_path / "8b-chat.yaml"
    path.write_text((ROOT / "examples" / "chat.yaml").read_text())
    done = ran("plan", str(path))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("b-chat: ")


def test_the_stack_file_of_the_readme_is_planned_and_run_at_home_beside_the_ones_that_are_there(project: Path) -> None:
    (found,) = re.findall(
        r"```yaml\n# stacks/Pulumi\.(\w+)\.yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL
    )
    name, text = found
    assert not (project / "stacks" / f"Pulumi.{name}.yaml").exists()
    (project / "stacks" / f"Pulumi.{name}.yaml").write_text(text)
    assert "chat: Qwen/Qwen2.5-7B-Instruct on 1 x g2-standard-8" in good("plan", name, cwd=project)
    assert "127.0.0.1:8000:8000" in good("laptop", name, "--compose", cwd=project)
    told = ran("preflight", name, "--kubeconfig", "none", cwd=project).stderr
    assert "none is not there" in told
    good("plan", "--update", name, cwd=project)
    assert (project / "stacks" / f"{name}.plan.yaml").is_file()
