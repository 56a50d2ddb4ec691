"""Reports for programs: JSON, SARIF and JUnit, and the comment for a pull request."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

from modelberth import exchange, told
from modelberth.checked import Report, report
from modelberth.inputs import gather
from modelberth.policyfile import PolicyFile, read
from modelberth.rules import ALL
from modelberth.rules.base import Enforcement
from tests.rules.samples import deployment, guide, vllm

TODAY = date(2026, 11, 28)
CONFIG = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}}
EXEMPT = {"rules": ["SZ-01"], "name": "default/vllm-server", "reason": "moves & <goes>", "expires": "2026-12-01"}
EXPIRED = {"rules": ["WH-21"], "name": "*", "reason": "a trial", "expires": "2026-11-27"}


def of(folder: Path, *manifests: Any, text: str = "", policy: Any = None, name: str = "a.yaml") -> Report:
    path = folder / name
    path.write_text(text or yaml.safe_dump_all(manifests), encoding="utf-8")
    return report(gather([path]), read(policy or {}, today=TODAY))


@pytest.fixture
def mixed(tmp_path: Path) -> Report:
    """Findings of every level, exemptions in force and ended, a file that cannot be read, one that holds nothing."""
    path = tmp_path / "with space.yaml"
    path.write_text(yaml.safe_dump_all([CONFIG, guide()]))
    (tmp_path / "bad.yaml").write_text("a: [1")
    (tmp_path / "values.yaml").write_text("a: 1")
    policy = read({"settings": {"exemptions": [EXEMPT, EXPIRED]}}, today=TODAY)
    return report(gather([tmp_path]), policy)


def sarif(found: Report) -> dict[str, Any]:
    return json.loads(exchange.as_sarif(found, "1.2.3", "https://example.com/rules"))["runs"][0]


def junit(found: Report) -> ElementTree.Element:
    return ElementTree.fromstring(exchange.as_junit(found))  # noqa: S314 - our own


def test_json_holds_every_figure_of_a_finding(mixed: Report) -> None:
    document = json.loads(exchange.as_json(mixed))
    assert document["schema_version"] == 1
    assert document["counts"] == {
        "objects": 2,
        "findings": len(mixed.told) - 1,
        "stopping": mixed.stopping,
        "exempt": 1,
        "problems": 1,
        "skipped_files": 1,
    }
    (found,) = [each for each in document["findings"] if each["rule"] == "SZ-01"]
    assert found["file"].endswith("/with space.yaml")
    assert found["object"] == {
        "type": "kubernetes:apps/v1:Deployment",
        "kind": "Deployment",
        "name": "default/vllm-server",
        "urn": None,
    }
    assert (found["enforcement"], found["stops"], found["nature"]) == ("mandatory", False, "wrong")
    assert found["exemption"] == {"rules": ["SZ-01"], "reason": "moves & <goes>", "expires": "2026-12-01"}
    assert document["expired_exemptions"] == [{"rules": ["WH-21"], "reason": "a trial", "expires": "2026-11-27"}]
    assert [each["message"] for each in document["problems"]] == ["not valid YAML"]
    assert [Path(each).name for each in document["skipped"]] == ["values.yaml"]
    assert document["exit_code"] == 2


def test_the_line_of_a_finding_is_the_line_of_its_field(mixed: Report) -> None:
    (found,) = [each for each in json.loads(exchange.as_json(mixed))["findings"] if each["rule"] == "SZ-01"]
    line = Path(found["file"]).read_text().splitlines()[found["line"] - 1]
    assert line[found["column"] - 1 :] == "args:" or line[found["column"] - 1 :].startswith("args:")


def test_sarif_names_every_rule_with_help_and_a_link(mixed: Report) -> None:
    rules = sarif(mixed)["tool"]["driver"]["rules"]
    assert [each["id"] for each in rules] == [rule.id for rule in ALL]
    for each in rules:
        assert each["shortDescription"]["text"]
        assert each["fullDescription"]["text"]
        assert each["help"]["text"]
        assert each["help"]["markdown"]
        assert each["helpUri"] == f"https://example.com/rules#{each['id'].lower()}"
        assert each["properties"]["problem.severity"] == each["defaultConfiguration"]["level"]


def test_sarif_says_what_stops_what_is_exempt_and_what_could_not_be_read(mixed: Report) -> None:
    run = sarif(mixed)
    by_rule = {each["ruleId"]: each for each in run["results"]}
    assert (by_rule["WH-21"]["level"], by_rule["WH-06"]["level"]) == ("error", "warning")
    assert by_rule["SZ-01"]["suppressions"][0]["justification"] == "until 2026-12-01: moves & <goes>"
    assert "suppressions" not in by_rule["WH-21"]
    for each in run["results"]:
        assert run["tool"]["driver"]["rules"][each["ruleIndex"]]["id"] == each["ruleId"]
        place = each["locations"][0]["physicalLocation"]
        assert place["artifactLocation"]["uri"].endswith("/with%20space.yaml")
        assert place["region"]["startLine"] > 1
    (invocation,) = run["invocations"]
    assert (invocation["executionSuccessful"], invocation["exitCode"]) == (False, 2)
    (note,) = invocation["toolExecutionNotifications"]
    assert note["message"]["text"] == "not valid YAML"


def test_sarif_names_files_relative_to_where_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    for path in (tmp_path / "sub" / "a.yaml", Path("sub/a.yaml")):
        path.write_text(yaml.safe_dump(guide()))
        places = [
            each["locations"][0]["physicalLocation"] for each in sarif(report(gather([path]), PolicyFile()))["results"]
        ]
        assert {place["artifactLocation"]["uri"] for place in places} == {"sub/a.yaml"}


def fingerprints(found: Report) -> dict[tuple[str, str], str]:
    return {(each.verdict.rule.id, each.verdict.finding.path): each.fingerprint for each in found.told}


def test_fingerprints_outlive_lines_other_objects_and_other_figures(tmp_path: Path) -> None:
    before = of(tmp_path, guide())
    text = "# a line\n\n" + yaml.safe_dump_all([CONFIG, deployment(vllm()) | CONFIG, guide() | {"status": {}}])
    after = of(tmp_path, text=text.replace("131072", "65536"))
    assert fingerprints(before).items() <= fingerprints(after).items()
    assert [each.spot for each in before.told] != [each.spot for each in after.told]


def test_no_two_findings_share_a_fingerprint(tmp_path: Path) -> None:
    found = of(tmp_path, guide(), guide())
    assert len({each.fingerprint for each in found.told}) == len(found.told) >= 6


def test_junit_has_a_case_for_every_object_and_rule_that_was_asked(tmp_path: Path) -> None:
    found = of(tmp_path, CONFIG, guide(), policy={"WH-06": "disabled"})
    cases = junit(found).findall("testsuite/testcase")
    asked = [rule for rule in ALL if rule.id != "WH-06" and rule.levels.prod is not Enforcement.DISABLED]
    assert len(cases) == 2 * len(asked)
    assert len({(case.get("classname"), case.get("name")) for case in cases}) == len(cases)


def test_junit_fails_for_what_stops_and_for_nothing_else(mixed: Report) -> None:
    root = junit(mixed)
    cases = {case.get("name", "").split(" ")[0]: case for case in root.iter("testcase") if len(case)}
    assert cases["WH-21"].find("failure") is not None
    assert cases["WH-06"].find("failure") is None
    assert cases["WH-06"].findtext("system-out")
    skipped = cases["SZ-01"].find("skipped")
    assert skipped is not None
    assert skipped.get("message") == "until 2026-12-01: moves & <goes>"
    assert root.get("errors") == "1"
    assert root.get("failures") == str(len(list(root.iter("failure"))))
    for suite in root.findall("testsuite"):
        assert suite.get("tests") == str(len(suite.findall("testcase")))
        assert suite.get("failures") == str(len(suite.findall("testcase/failure")))


@pytest.mark.parametrize("name", ["a\x00b\x1b", 'a"<b>&', "\ud800", "\U0001f600", "a\nb"])
def test_no_name_breaks_a_format(tmp_path: Path, name: str) -> None:
    manifest = guide() | {"metadata": {"name": name}}
    found = of(tmp_path, text=json.dumps(manifest), name="a.json")
    assert found.stopping
    for text in (exchange.as_json(found), exchange.as_sarif(found, "1")):
        json.loads(text.encode("utf-8", "replace"))
    ElementTree.fromstring(exchange.as_junit(found).encode("utf-8", "replace"))  # noqa: S314 - our own
    assert told.as_text(found)
    assert told.as_markdown(found)


def test_a_comment_is_short_enough_and_says_what_it_leaves_out(tmp_path: Path) -> None:
    found = of(tmp_path, *(guide() | {"metadata": {"name": f"n{index}"}} for index in range(100)))
    text = told.as_markdown(found)
    assert len(text) < told.LONGEST_COMMENT + 2_000
    assert "more findings: run `modelberth check` to see all." in text
    assert text.count("<details>") == text.count("</details>")
    assert text.count("````") % 2 == 0


def test_a_comment_says_first_what_matters(mixed: Report, tmp_path: Path) -> None:
    assert told.as_markdown(mixed).startswith("### modelberth check could not read everything\n")
    stopped = told.as_markdown(of(tmp_path, guide()))
    assert stopped.startswith("### modelberth check: 2 findings would stop this\n")
    assert "| **mandatory** | SZ-01 The model fits its accelerators | `Deployment default/vllm-server` |" in stopped
    assert told.as_markdown(of(tmp_path, CONFIG)).startswith("### modelberth check: nothing would stop this\n")
