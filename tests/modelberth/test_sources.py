"""What is read from texts, files and folders, and what is said about those that cannot be read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from modelberth.inputs import Inputs, gather
from modelberth.observed import UNKNOWN
from modelberth.sources import LARGEST_BYTES, Source, decoded, read
from tests.rules.samples import CANARY, guide

SIGNATURE = "4dabf18193072939515e22adb298388d"
SECRET = "1b47061264138c4ac30d75fd1eb44270"
LATER = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
POD = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}}
URN = "urn:pulumi:dev::p::kubernetes:apps/v1:Deployment::server"


def of(content: Any) -> Source:
    text = content if isinstance(content, str) else json.dumps(content)
    return read(Source("file", text))


def names(source: Source) -> list[str]:
    return [f"{each.type} {each.name}" for each in source.resources]


def told(inputs: Inputs) -> list[str]:
    return [str(problem).replace("\n    way out: ", " -> ") for problem in inputs.problems]


def write(folder: Path, files: dict[str, str | bytes]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def state(inputs: Any, **more: Any) -> dict[str, Any]:
    return {"urn": URN, "type": "kubernetes:apps/v1:Deployment", "custom": True, "inputs": inputs} | more


def exported(*states: dict[str, Any]) -> dict[str, Any]:
    return {"version": 3, "deployment": {"manifest": {}, "resources": list(states)}}


def secret(**held: str) -> dict[str, str]:
    return {SIGNATURE: SECRET} | held


def test_every_document_of_a_file_is_read() -> None:
    assert names(
        of("---\n# nothing\n---\napiVersion: v1\nkind: Pod\n---\n{apiVersion: apps/v1, kind: Deployment}")
    ) == [
        "kubernetes:core/v1:Pod ",
        "kubernetes:apps/v1:Deployment ",
    ]


@pytest.mark.parametrize("dump", [json.dumps, yaml.safe_dump])
def test_lists_of_kubectl_are_what_they_hold(dump: Any) -> None:
    inner = {"apiVersion": "v1", "kind": "List", "items": [POD]}
    source = of(dump({"apiVersion": "v1", "kind": "List", "items": [POD, inner]}))
    assert names(source) == ["kubernetes:core/v1:Pod a"] * 2
    typed = of(dump({"apiVersion": "apps/v1", "kind": "DeploymentList", "items": [{"metadata": {"name": "b"}}]}))
    assert names(typed) == ["kubernetes:apps/v1:Deployment b"]


def test_a_list_of_objects_without_a_kind_of_its_own_is_read() -> None:
    assert names(of([POD, {"a": 1}])) == ["kubernetes:core/v1:Pod a"]
    assert names(of(yaml.safe_dump([POD, 1]))) == ["kubernetes:core/v1:Pod a"]


def test_several_json_objects_in_a_row_are_read_or_refused_and_never_dropped() -> None:
    source = of(json.dumps(POD) + "\n" + json.dumps(POD))
    assert source.resources or source.problems


@pytest.mark.parametrize(
    "document",
    [
        {"replicas": 1, "image": {"tag": "x"}},
        {"apiVersion": "v2", "name": "chart", "version": "1.0.0"},
        {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization"},
        {"apiVersion": "v1", "kind": "Config", "clusters": [], "users": []},
        {"kind": "pipeline", "steps": []},
        {"steps": [{"name": "a"}]},
        {"deployment": "x"},
        {"checkpoint": 1},
        {"apiVersion": 1, "kind": ["Pod"]},
        [1, 2],
        "- a\n- b",
        "text",
        "on: push\njobs: {a: !x b}",
    ],
)
def test_what_is_no_object_is_counted_and_no_problem(document: Any) -> None:
    source = of(document)
    assert (source.resources, source.problems) == ([], [])
    assert source.other


def test_a_workload_without_a_version_is_said_and_not_skipped() -> None:
    source = of("kind: Deployment\nspec: {}")
    assert [problem.why for problem in source.problems] == ["a Deployment without apiVersion is no Kubernetes object"]


@pytest.mark.parametrize(
    "text", ["apiVersion: v1\nkind: Pod\nspec:\n  a: 1\n  a: 2", '{"apiVersion":"v1","kind":"Pod",\n"a":1,"a":2}']
)
def test_a_key_that_appears_twice_is_said_with_its_line(text: str) -> None:
    (problem,) = of(text).problems
    assert problem.why == "a key appears twice"
    assert problem.spot
    assert problem.spot.line == len(text.splitlines())
    assert of(text).resources == []


def test_a_bad_document_hides_no_other_problem_and_no_object_before_it() -> None:
    source = of("apiVersion: v1\nkind: Pod\n---\nkind: Pod\n---\napiVersion: v1\nkind: Pod\na: 1\na: 2\n---\na: [1")
    assert len(source.resources) == 1
    assert [problem.why for problem in source.problems] == [
        "a Pod without apiVersion is no Kubernetes object",
        "a key appears twice",
        "not valid YAML",
    ]


def test_a_state_is_read_with_its_options() -> None:
    recorded = state(
        {"apiVersion": "apps/v1", "__defaults": [], "spec": {"replicas": 1}},
        protect=True,
        retainOnDelete=True,
        customTimeouts={"create": 600, "update": 0},
        parent="urn:parent",
        provider="urn:pulumi:dev::p::pulumi:providers:kubernetes::k::1234",
        dependencies=["urn:a"],
        propertyDependencies={"spec": ["urn:a"]},
    )
    (found,) = of(exported(recorded, state({}, delete=True))).resources
    assert found.properties == {"apiVersion": "apps/v1", "spec": {"replicas": 1}}
    assert (found.name, found.urn, found.parent, found.from_program) == ("server", URN, "urn:parent", True)
    assert (found.options.protect, found.options.retain_on_delete) == (True, True)
    assert (found.options.create_timeout_s, found.options.update_timeout_s) == (600.0, None)
    assert found.options.provider == "urn:pulumi:dev::p::pulumi:providers:kubernetes::k"
    assert (found.dependencies, found.property_dependencies) == (("urn:a",), {"spec": ("urn:a",)})


def test_the_file_of_a_backend_is_a_state_too() -> None:
    document = {"version": 3, "checkpoint": {"latest": {"manifest": {}, "resources": [state({"a": 1})]}}}
    assert [each.properties for each in of(document).resources] == [{"a": 1}]


@pytest.mark.parametrize(
    ("held", "value"),
    [
        (secret(plaintext='"x"'), "x"),
        (secret(plaintext='{"a": [1]}'), {"a": [1]}),
        (secret(plaintext=json.dumps({"a": secret(plaintext="2")})), {"a": 2}),
        (secret(ciphertext="v1:abc"), UNKNOWN),
        (secret(plaintext="{"), UNKNOWN),
        (secret(), UNKNOWN),
        (LATER, UNKNOWN),
        ("[secret]", UNKNOWN),
        ([LATER, 1], [UNKNOWN, 1]),
        ({SIGNATURE: "c44067f5952c0a294b673a41bacd8c17", "path": "x"}, None),
        ({SIGNATURE: "803fd3297a5875dc03ca845dda5d2a98", "value": "eA=="}, UNKNOWN),
    ],
)
def test_a_recorded_value_is_its_plain_text_or_unknown(held: Any, value: Any) -> None:
    (found,) = of(exported(state({"field": held}))).resources
    assert found.properties == {"field": value}


def test_an_empty_state_is_a_state() -> None:
    assert of({"version": 3, "deployment": {"manifest": {"time": "x"}}}).recorded
    assert of({"version": 3, "deployment": None}).recorded is False


def test_a_preview_is_what_will_be_there() -> None:
    def step(op: str, name: str, **states: Any) -> dict[str, Any]:
        return {"op": op, "urn": f"{URN}{name}", **states}

    def new(name: str, value: Any) -> dict[str, Any]:
        return state({"a": value}) | {"urn": f"{URN}{name}"}

    document = {
        "config": {"x": "[secret]"},
        "steps": [
            step("create", "1", newState=new("1", 1)),
            step("create-replacement", "2", oldState=new("2", 0), newState=new("2", 1)),
            step("replace", "2", oldState=new("2", 0), newState=new("2", 2)),
            step("delete-replaced", "2", oldState=new("2", 0)),
            step("delete", "3", oldState=new("3", 0)),
            step("same", "4", oldState=new("4", 4), newState=new("4", 4)),
        ],
        "changeSummary": {"create": 1},
    }
    source = of(document)
    assert [(each.name, each.properties["a"]) for each in source.resources] == [
        ("server1", 1),
        ("server2", 2),
        ("server4", 4),
    ]
    text = json.dumps(document, indent=1)
    again = read(Source("file", text))
    line = again.spot(again.resources[1], "a").line
    assert text.split("\n")[line - 1].strip() == '"a": 2'
    assert of({"changeSummary": {}, "duration": 1}).recorded


def test_a_preview_that_failed_is_not_taken_for_all_there_is() -> None:
    document = {
        "steps": [{"op": "create", "urn": URN, "newState": state({})}],
        "diagnostics": [{"message": CANARY, "severity": "error"}],
    }
    source = of(document)
    assert [problem.why for problem in source.problems] == ["this preview failed: what it shows is not complete"]
    assert CANARY not in str(source.problems[0])


@pytest.mark.parametrize(
    "content",
    [
        exported({"type": 1}),
        exported({"type": "a", "inputs": 1, "dependencies": 3}),
        {"version": 3, "deployment": {"resources": {"a": 1}}},
        {"version": 3, "deployment": {"resources": [None, 1, "x"]}},
    ],
)
def test_a_state_of_another_shape_raises_nothing(content: Any) -> None:
    assert of(content).recorded


HELM = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .Release.Name }}
spec:
  {{- toYaml .Values.x | nindent 2 }}
"""


@pytest.mark.parametrize(
    "text",
    [
        HELM,
        "{{- if .Values.on }}\napiVersion: v1\nkind: Pod\n{{- end }}\n",
        'apiVersion: v1\nkind: Pod\nspec: {containers: [{image: "{{ .Values.image }}"}]}',
        "apiVersion: v1\nkind: Pod\nspec:\n  replicas: {{ .Values.replicas }}\n",
        "apiVersion: v1\nkind: {{ .Values.kind }}\n",
        "{% for x in y %}\na: {{ x }}\n{% endfor %}",
    ],
)
def test_a_template_is_named_and_never_judged(text: str) -> None:
    source = of(text)
    assert source.resources == []
    (problem,) = source.problems
    assert problem.why == "a template, not rendered yet"
    assert "helm template" in problem.remedy


def test_braces_of_other_languages_are_no_template() -> None:
    rule = {"apiVersion": "monitoring.coreos.com/v1", "kind": "PrometheusRule", "spec": {"a": "{{ $labels.x }}"}}
    chat = {"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [{"args": ["{{ bos_token }}{{ messages[0] }}"]}]}}
    for document in (rule, chat):
        assert len(of(yaml.safe_dump(document)).resources) == 1


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"a: \xff", "not UTF-8 text"),
        ("a: ü".encode("latin-1"), "not UTF-8 text"),
        ("a: 1".encode("utf-16"), "UTF-16 text"),
        (b"\x7fELF\x00\x00", "holds a NUL byte: this is no text"),
        (b"kind: Pod\x00", "holds a NUL byte: this is no text"),
        (b"a: \x01", "not valid YAML"),
        (b"x" * (LARGEST_BYTES + 1), "larger than 32 MiB"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a":' * 100_000, "nested too deeply"),
        (b"a: " + b"[" * 100_000, "nested deeper than 200 levels"),
        (b'{"kind": "Pod", "a": ' + b"9" * 5000 + b"}", "not valid YAML"),
    ],
)
def test_what_is_no_text_is_one_reason(content: bytes, why: str) -> None:
    (problem,) = read(decoded(content, "file")).problems
    assert problem.why == why


def test_a_byte_order_mark_and_other_line_ends_are_text() -> None:
    assert len(read(decoded(b"\xef\xbb\xbfapiVersion: v1\r\nkind: Pod\r\n", "file")).resources) == 1


def test_folders_are_read_by_name_and_hidden_files_left_out(tmp_path: Path) -> None:
    pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: %s}\n"
    files = {
        name: pod % index
        for index, name in enumerate(["b/z.yaml", "b/a.yml", "a.json", "c.YAML", "b/x.txt", ".git/h.yaml", ".h.yaml"])
    }
    files["a.json"] = json.dumps(POD)
    write(tmp_path, files | {"values.yaml": "a: 1\n", "empty.yaml": ""})
    (tmp_path / "b" / "loop").symlink_to(tmp_path)
    inputs = gather([tmp_path])
    assert [Path(source.place).relative_to(tmp_path).as_posix() for source in inputs.sources if source.resources] == [
        "a.json",
        "b/a.yml",
        "b/z.yaml",
        "c.YAML",
    ]
    assert [Path(place).name for place in inputs.skipped] == ["empty.yaml", "values.yaml"]
    assert told(inputs) == []


def test_a_file_named_twice_is_read_once(tmp_path: Path) -> None:
    path = write(tmp_path, {"a.yaml": "apiVersion: v1\nkind: Pod\n"}) / "a.yaml"
    assert len(gather([tmp_path, path, path]).resources) == 1


def test_a_file_that_is_named_is_read_whatever_it_is_called(tmp_path: Path) -> None:
    assert len(gather([write(tmp_path, {"a.txt": "apiVersion: v1\nkind: Pod\n"}) / "a.txt"]).resources) == 1


def test_templates_of_a_chart_are_named_once(tmp_path: Path) -> None:
    chart = {"web/Chart.yaml": "apiVersion: v2\nname: web\n", "web/values.yaml": "a: 1\n"}
    write(tmp_path, chart | {f"web/templates/{name}.yaml": HELM for name in "abc"} | {"loose.yaml": "a: {{ b }"})
    first, second = sorted(told(gather([tmp_path])))
    assert first.startswith(f"{tmp_path}/loose.yaml:2:1: a template, not rendered yet -> ")
    assert second == (
        f"{tmp_path}/web/templates/a.yaml:6:5: a template, not rendered yet, as are 2 more of this chart"
        f" -> render it first: helm template {tmp_path}/web | modelberth check -"
    )


def test_patches_of_a_kustomization_are_no_manifests(tmp_path: Path) -> None:
    patch = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\n"
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "patches": [{"path": "one.yaml"}, {"patch": "- op: add\n"}],
        "patchesStrategicMerge": ["two.yaml", patch],
    }
    write(
        tmp_path,
        {"kustomization.yaml": yaml.safe_dump(kustomization)}
        | dict.fromkeys(["one.yaml", "two.yaml", "whole.yaml"], patch),
    )
    inputs = gather([tmp_path, tmp_path / "one.yaml"])
    assert [Path(each.place).name for each in inputs.resources] == ["whole.yaml"]
    assert [Path(place).name for place in inputs.patches] == ["one.yaml", "two.yaml"]


def test_what_is_not_there_or_holds_nothing_is_a_problem(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    assert told(gather([tmp_path / "none.yaml", empty])) == [
        f"{tmp_path}/none.yaml: is not there",
        f"{empty}: holds no Kubernetes object -> name the folder that holds rendered manifests",
    ]


def test_a_name_longer_than_any_file_s_is_a_problem() -> None:
    (line,) = told(gather([Path("x" * 5000)]))
    assert line.endswith(": file name too long")


def test_no_problem_quotes_the_file(tmp_path: Path) -> None:
    bad = [
        f"a: {CANARY}\na: [",
        f'apiVersion: v1\nkind: Pod\n"{CANARY}": 1\n"{CANARY}": 2',
        f"kind: Pod\na: {CANARY}",
        f"apiVersion: v1\nkind: Pod\na: !{CANARY} x",
        f"a: *{CANARY}",
    ]
    write(tmp_path, {f"{index}.yaml": text for index, text in enumerate(bad)})
    lines = told(gather([tmp_path]))
    assert len(lines) == len(bad)
    assert CANARY not in "".join(lines)


def test_the_guide_s_manifest_is_the_same_in_every_form() -> None:
    forms = [
        yaml.safe_dump(guide()),
        json.dumps(guide()),
        yaml.safe_dump({"apiVersion": "v1", "kind": "List", "items": [guide()]}),
    ]
    assert {json.dumps(dict(of(form).resources[0].properties), sort_keys=True) for form in forms} == {
        json.dumps(guide(), sort_keys=True)
    }
