"""What configures the pack: profiles, levels, thresholds and exemptions, as the engine hands them on."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from modelberth import policyfile
from modelberth.findings import Finding, Level, Nature
from modelberth.policyfile import Exemption, PolicyFile, read
from modelberth.resources import Resource
from modelberth.rules import ALL
from modelberth.rules.base import ADVICE, IN_PROD, Enforcement, Levels, Profile, Rule, Severity, Threshold
from modelberth.verdicts import judge
from tests.policies.servicer import Refused, analyze, analyzer, configuration, names, stack, verdicts
from tests.rules.samples import deployment, guide, rule, vllm

FITS, PINNED = rule("SZ-01").policy_name, rule("WH-06").policy_name
LEVELS = ("advisory", "mandatory", "remediate", "disabled")


def shown(level: str) -> str:
    return {"remediate": "MANDATORY"}.get(level, level.upper())


def told(document: dict[str, Any], rule: str = "SZ-01") -> list[str]:
    """The levels at which a rule speaks about the guide's manifest."""
    return [level for level, name in names(analyze(guide(), policy=document)) if name == rule]


def wrong(document: dict[str, Any]) -> str:
    """What the engine prints about a configuration."""
    with pytest.raises(Refused) as refused:
        analyzer(document)
    return str(refused.value)


# --- levels


@pytest.mark.parametrize("for_one", LEVELS)
@pytest.mark.parametrize("for_all", LEVELS)
@pytest.mark.parametrize("rule", [FITS, PINNED])
def test_a_rules_own_level_wins_over_that_of_all(rule: str, for_all: str, for_one: str) -> None:
    expected = [] if for_one == "disabled" else [shown(for_one)]
    assert told({"all": for_all, rule: for_one}, rule[:5].upper()) == expected


@pytest.mark.parametrize("level", LEVELS)
def test_a_level_for_all_is_that_of_every_rule(level: str) -> None:
    found = names(analyze(guide(), policy={"all": level}))
    assert {each for each, _ in found} == (set() if level == "disabled" else {shown(level)})
    assert {rule for _, rule in found} == {rule for _, rule in names(analyze(guide())) if level != "disabled"}


@pytest.mark.parametrize("profile", Profile)
@pytest.mark.parametrize("level", ["mandatory", "advisory", "disabled"])
def test_a_chosen_level_counts_in_every_profile_whatever_the_rules_own_is(profile: Profile, level: str) -> None:
    settings = {"settings": {"profile": profile.value}}
    expected = [] if level == "disabled" else [shown(level)]
    assert told({**settings, FITS: {"level": level}}) == expected
    assert told({**settings, PINNED: {"level": level}}, "WH-06") == expected
    if profile is Profile.STRICT and level == "advisory":
        return  # the engine sends the same where nobody chose; then the rule's own level of the profile holds
    assert told({**settings, FITS: level}) == expected
    assert told({**settings, PINNED: level}, "WH-06") == expected


def test_the_profile_decides_where_nobody_chose_a_level() -> None:
    assert told({}, "WH-06") == ["ADVISORY"]
    assert told({"settings": {"profile": "strict"}}, "WH-06") == ["MANDATORY"]


def test_a_rule_goes_by_its_name_or_its_id_but_not_by_both() -> None:
    assert told({"SZ-01": "advisory"}) == ["ADVISORY"]
    assert told({"SZ-01": {"level": "advisory"}}) == ["ADVISORY"]
    assert "SZ-01 has an entry already" in wrong({"SZ-01": "advisory", FITS: "disabled"})


# --- a rule of our own making: thresholds, foreign resources, doubt

LIMITS = (
    Threshold("share", 0.1, "A share.", 0, 1),
    Threshold("count", 2, "A number.", 1),
    Threshold("on", False, "A switch."),
    Threshold("names", ("a",), "Texts."),
)


def made(levels: Levels = IN_PROD, said: Finding | None = None, **more: Any) -> Rule:
    said = said or Finding("SZ-99", "spec", "wrong", "mend")
    words = {"title": "T", "question": "whether", "why": "W.", "remediation": "R.", "source": "S"}
    return Rule("SZ-99", "made-up", severity=Severity.LOW, levels=levels, check=lambda *_: [said], **words, **more)


@pytest.fixture
def limited(monkeypatch: pytest.MonkeyPatch) -> Rule:
    """A rule with a threshold of every kind, known to configuration."""
    rule = made(thresholds=LIMITS)
    monkeypatch.setattr(policyfile, "_KEYS", {"SZ-99": rule, rule.policy_name: rule})
    return rule


def test_thresholds_have_the_type_of_their_default_whatever_they_come_as(limited: Rule) -> None:
    found = read({"SZ-99": {"share": 1, "count": 3.0, "on": True, "names": ["b", "c"]}})
    assert found.problems == ()
    values = found.settings(limited).values
    assert values == {"share": 1, "count": 3, "on": True, "names": ("b", "c")}
    assert type(values["count"]) is int
    assert read({}).settings(limited).values == limited.defaults


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("share", 1.1, "must be at most 1"),
        ("share", -0.1, "must be at least 0"),
        ("share", float("nan"), "must be a number"),
        ("share", True, "must be a number"),
        ("share", "0.1", "must be a number"),
        ("count", 0.5, "must be a whole number"),
        ("count", 0, "must be at least 1"),
        ("on", 1, "must be true or false"),
        ("names", "a", "must be a list of texts"),
        ("names", [1], "must be a list of texts"),
        ("shar", 1, "is no setting of this rule"),
    ],
)
def test_a_wrong_threshold_is_a_problem_with_its_place(limited: Rule, name: str, value: Any, problem: str) -> None:
    (found,) = read({limited.policy_name: {name: value}}).problems
    assert found.path == f"sz-99-made-up.{name}"
    assert found.message == problem
    if name == "shar":
        assert found.remedy == "did you mean 'share'?"


def test_levels_for_what_others_wrote_may_be_softer() -> None:
    rule = made(foreign=ADVICE)
    ours = {"metadata": {"labels": {"app.kubernetes.io/part-of": "modelberth"}}}
    resources = [Resource("kubernetes:core/v1:Pod", "a", inputs) for inputs in (ours, {})]
    assert [judge(each, PolicyFile(), [rule])[0].enforcement for each in resources] == ["mandatory", "advisory"]
    chosen = PolicyFile(levels={"SZ-99": Enforcement.MANDATORY})
    assert [judge(each, chosen, [rule])[0].enforcement for each in resources] == ["mandatory", "mandatory"]


@pytest.mark.parametrize(
    ("said", "dev", "prod", "strict"),
    [
        ({"level": Level.WARNING}, "advisory", "advisory", "mandatory"),
        ({"nature": Nature.UNDECIDED}, "advisory", "mandatory", "mandatory"),
        ({"nature": Nature.INTERNAL}, "mandatory", "mandatory", "mandatory"),
    ],
)
def test_advice_doubt_and_failure_of_a_mandatory_rule(said: dict[str, Any], dev: str, prod: str, strict: str) -> None:
    always = Levels(*[Enforcement.MANDATORY] * 3)
    rule = made(always, replace(Finding("SZ-99", "spec", "wrong", "mend"), **said))
    about = Resource("kubernetes:core/v1:Pod", "a", {})
    assert [judge(about, PolicyFile(profile), [rule])[0].enforcement for profile in Profile] == [dev, prod, strict]


def test_a_rule_that_fails_stops_even_where_it_only_advises() -> None:
    def broken(*_: Any) -> list[Finding]:
        raise KeyError("x")

    rule = replace(made(), check=broken)
    policy = PolicyFile(levels={"SZ-99": Enforcement.ADVISORY})
    (found,) = judge(Resource("kubernetes:core/v1:Pod", "a", {}), policy, [rule])
    assert found.stops


# --- what is wrong is said, and nothing is judged


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"sz-01-modelfits": "mandatory"}, "did you mean 'sz-01-model-fits'?"),
        ({"sz-01-modelfits": "mandatory", "all": "mandatory"}, "did you mean 'sz-01-model-fits'?"),
        ({"sz-01": "mandatory"}, "did you mean 'SZ-01'?"),
        ({"setings": "mandatory"}, "did you mean 'settings'?"),
        ({"settings": {"profil": "dev"}}, "did you mean 'profile'?"),
        ({"settings": {"profile": "production"}}, "one of: dev, prod, strict"),
        ({"settings": {"exemptions": {}}}, "settings.exemptions"),
        ({"settings": {"exemptions": [{"rules": ["SZ-01"], "name": "*"}]}}, "settings.exemptions[0].reason"),
        ({FITS: {"levl": "advisory"}}, "did you mean 'level'?"),
        ({FITS: {"level": "soft"}}, "one of mandatory, advisory, disabled, remediate"),
        ({"all": {"enforcementLevel": "advisory", "share": 1}}, "only a level can be set for all rules"),
    ],
)
def test_wrong_settings_end_the_run_and_name_what_was_meant(document: dict[str, Any], expected: str) -> None:
    assert expected in wrong(document)


def test_all_problems_are_told_at_once_and_no_more_than_a_header_holds() -> None:
    text = wrong({f"sz-{index}-x": "mandatory" for index in range(100, 130)})
    assert text.count("is no rule of this pack") == 20
    assert text.endswith("and 10 more")
    assert len(text) < 8192


def test_an_engine_that_goes_on_all_the_same_is_stopped_at_every_resource() -> None:
    pack = analyzer()
    assert pack._pack.configure(configuration({"sz-01-modelfits": "advisory"}))
    first = verdicts(pack.Analyze(_request(guide()), None))
    second = verdicts(pack.Analyze(_request(deployment(vllm())), None))
    together = verdicts(pack.AnalyzeStack(stack(), None))
    assert names(first) == names(second) == names(together) == [("MANDATORY", "SETTINGS")]
    assert "did you mean 'sz-01-model-fits'?" in first[0][2]
    assert "did you mean" not in second[0][2] + together[0][2]


def _request(properties: dict[str, Any]) -> Any:
    from tests.policies.servicer import request

    return request(properties)


# --- exemptions


def exempting(until: str = "2099-01-01", **what: Any) -> dict[str, Any]:
    """A configuration that lets the guide's manifest through, or something else."""
    about = what or {"name": "default/vllm-server"}
    return {"settings": {"exemptions": [{"rules": ["SZ-01"], "reason": "known", "expires": until, **about}]}}


@pytest.mark.parametrize(
    "about",
    [
        {"urn": "urn:pulumi:dev::*::server"},
        {"name": "*/vllm-*"},
        {"name": "default/server"},
        {"name": "default/vllm-server", "rules": ["*"]},
        {"labels": {"team": "chat*"}},
        {"name": "*", "labels": {"team": "*"}, "urn": "*", "rules": [FITS]},
    ],
)
def test_an_exemption_covers_what_all_its_patterns_match(about: dict[str, Any]) -> None:
    manifest = guide()
    manifest["metadata"]["labels"] = {"team": "chatbots"}
    found = names(analyze(manifest, policy=exempting(**about)))
    assert ("MANDATORY", "SZ-01") not in found
    assert (("MANDATORY", "WH-21") in found) is (about.get("rules") != ["*"])


@pytest.mark.parametrize(
    "about",
    [
        {"urn": "urn:pulumi:prod::*"},
        {"name": "prod/vllm-server"},
        {"name": "vllm-server"},
        {"labels": {"team": "*"}},
        {"name": "*", "labels": {"team": "a"}},
        {"name": "*", "rules": ["WH-21"]},
    ],
)
def test_an_exemption_covers_nothing_else(about: dict[str, Any]) -> None:
    assert told(exempting(**about)) == ["MANDATORY"]


def test_a_namespace_that_is_not_known_yet_is_nobodys_default() -> None:
    from tests.policies.servicer import UNKNOWN_STRING

    manifest = guide()
    manifest["metadata"]["namespace"] = UNKNOWN_STRING
    found = names(analyze(manifest, policy=exempting(name="default/vllm-server")))
    assert ("MANDATORY", "SZ-01") in found


def test_an_exemption_that_has_ended_fires_again_and_says_so() -> None:
    found = analyze(guide(), policy=exempting("2020-02-29"))
    assert names(found)[0] == ("MANDATORY", "SZ-01")
    assert "the exemption from this rule ended on 2020-02-29 (known)" in found[0][2]


def test_an_exemption_holds_on_its_last_day() -> None:
    about = Resource("kubernetes:apps/v1:Deployment", "a", guide())
    for today, stops in ((date(2030, 1, 1), False), (date(2030, 1, 2), True)):
        policy = read(exempting("2030-01-01"), today=today)
        assert any(verdict.stops for verdict in judge(about, policy) if verdict.rule.id == "SZ-01") is stops


def summary(document: dict[str, Any], *manifests: dict[str, Any]) -> list[tuple[str, str]]:
    """What the settings policy says at the end of a run over these Deployments."""
    pack = analyzer(document)
    for manifest in manifests:
        pack.Analyze(_request(manifest), None)
    return [(level, text) for level, rule, text in verdicts(pack.AnalyzeStack(stack(), None)) if rule == "settings"]


def test_every_exemption_is_listed_at_the_end_of_a_run() -> None:
    document = exempting()
    listed = document["settings"]["exemptions"]
    listed.append({"rules": ["WH-06"], "name": "prod/*", "reason": "not yet", "expires": "2099-01-01"})
    listed.append({"rules": ["WH-21"], "urn": "*::nothing", "reason": "once", "expires": "2020-01-01"})
    ((level, text),) = summary(document, guide())
    assert level == "ADVISORY"
    assert text.splitlines()[1:] == [
        "SZ-01 does not apply to default/vllm-server until 2099-01-01: known",
        "the exemption (WH-06, name prod/*) was not needed: not yet",
        "the exemption (WH-21, urn *::nothing) was not needed, and it ended on 2020-01-01: once",
    ]


def test_the_list_can_be_turned_off_and_each_run_has_its_own() -> None:
    document = exempting()
    document["settings"]["enforcementLevel"] = "disabled"
    assert summary(document, guide()) == []
    pack = analyzer(exempting())
    pack.Analyze(_request(guide()), None)
    assert "does not apply" in str(verdicts(pack.AnalyzeStack(stack(), None)))
    assert "was not needed" in str(verdicts(pack.AnalyzeStack(stack(), None)))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"rules": ["sz-01-model-fit"]}, "did you mean 'sz-01-model-fits'?"),
        ({"rules": []}, "must not be empty"),
        ({"reason": ""}, "must not be empty"),
        ({"expires": "soon"}, "settings.exemptions[0].expires"),
        ({"name": None}, "names nothing that it is about"),
        ({"nmae": "x"}, "did you mean 'name'?"),
    ],
)
def test_a_wrong_exemption_ends_the_run(change: dict[str, Any], expected: str) -> None:
    document = exempting()
    document["settings"]["exemptions"][0] |= {"name": "default/*"} | change
    assert expected in wrong(document)


def test_a_run_without_a_serving_workload_prints_nothing() -> None:
    seen = [("pulumi:pulumi:Stack", {}), ("kubernetes:core/v1:ConfigMap", {"data": {"a": "b"}}), ("aws:s3/x:X", {})]
    assert verdicts(analyzer().AnalyzeStack(stack(*seen), None)) == []
    assert [analyze(properties, type_) for type_, properties in seen] == [[], [], []]


def test_an_exemption_names_itself_as_it_was_written() -> None:
    found = Exemption(rules=["SZ-01"], labels={"a": "b*"}, reason="x", expires=date(2030, 1, 1))
    assert str(found) == "SZ-01, label a b*"


def test_the_default_level_of_every_rule_is_told_to_the_engine_as_it_is() -> None:
    levels = {each.name: each.enforcementLevel for each in analyzer().GetAnalyzerInfo(None, None).policies}
    assert {rule.policy_name for rule in ALL} < set(levels)
