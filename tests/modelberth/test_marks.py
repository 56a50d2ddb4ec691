"""Where a finding's path leads in a file."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from modelberth import marks
from modelberth.marks import Illegible, Spot
from modelberth.node import Node

TEXT = """\
# a comment
apiVersion: apps/v1
metadata:
  annotations:
    a/b: x
    plain: y
    'q"]uote': z
spec:
  containers:
  - name: one
  - {name: two, args: [--a,
      --b]}
  - name: three
    resources:
      limits: {"nvidia.com/gpu": 1}
base: &base
  memory: 1Gi
  cpu: 1
more:
  <<: *base
  cpu: 2
"""


def spot(text: str, path: str) -> tuple[int, int]:
    ((root, loader),) = marks.documents(text)
    marks.value_of(root, loader)
    return marks.spot_of(root, path)


@pytest.mark.parametrize(
    ("path", "line", "column"),
    [
        ("", 2, 1),
        ("metadata", 3, 1),
        ('metadata.annotations["a/b"]', 5, 5),
        ("metadata.annotations.plain", 6, 5),
        ('metadata.annotations["q"]uote"]', 7, 5),
        ("spec.containers", 9, 3),
        ("spec.containers[0]", 10, 5),
        ("spec.containers[1].args", 11, 17),
        ("spec.containers[1].args[1]", 12, 7),
        ('spec.containers[2].resources.limits["nvidia.com/gpu"]', 15, 16),
        ("spec.containers[2].resources.requests", 14, 5),
        ("spec.containers[7].image", 9, 3),
        ("spec.selector", 8, 1),
        ("status.nothing", 2, 1),
        ("more.memory", 17, 3),
        ("more.cpu", 21, 3),
        ("a path in words, of no field", 2, 1),
    ],
)
def test_a_path_leads_to_its_key_or_to_the_nearest_thing_above(path: str, line: int, column: int) -> None:
    assert spot(TEXT, path) == (line, column)


def test_lines_count_from_the_top_of_the_file_and_not_of_the_document() -> None:
    second = list(marks.documents("a: 1\n---\nb: 2\n"))[1][0]
    assert marks.spot_of(second, "b") == Spot(3, 1)


def test_json_has_the_same_places_as_the_yaml_that_it_is() -> None:
    content = yaml.safe_load(TEXT.replace("<<: *base", "x: 1"))
    text = json.dumps(content, indent=2)
    tree = marks.of_json(text)
    for path in (
        "metadata",
        'metadata.annotations["a/b"]',
        "spec.containers[1].args[1]",
        "spec.containers[2].resources",
    ):
        assert marks.spot_of(tree, path) == spot(text, path)


def test_json_that_yaml_refuses_has_places_too() -> None:
    text = '{\n\t"smile": "\\ud83d\\ude00",\n\t"a\\"b": {"c": [1, {"d": "}{]["}]}\n}'
    assert marks.spot_of(marks.of_json(text), '["a"b"].c[1].d') == Spot(3, 21)


NAMES = st.text(st.sampled_from('abZ09_-./"[] é'), min_size=1, max_size=6)
VALUES = st.recursive(
    st.sampled_from([1, True, None, "text"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=12,
)


def every(node: Node) -> list[Node]:
    inside = [*node.elements(), *(each for _, each in node.items())]
    return [node, *(found for each in inside for found in every(each))]


@given(st.dictionaries(NAMES, VALUES, min_size=1, max_size=4))
def test_every_path_that_a_node_spells_leads_to_where_its_value_is_written(content: dict[str, Any]) -> None:
    text = json.dumps(content, indent=1, ensure_ascii=False)
    lines = text.split("\n")
    tree = marks.of_json(text)
    for node in every(Node(content, "")):
        line, column = marks.spot_of(tree, node.path)
        rest = lines[line - 1][column - 1 :]
        value = node.value
        if not isinstance(value, dict | list):
            assert json.dumps(value, ensure_ascii=False) in rest
        assert (line, column) == tuple(spot(text, node.path))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a: 1\nb: 2\na: 3\n", "a key appears twice"),
        ("a: &a [*a]", "a value that contains itself"),
        ("a: &a {b: &b [*a]}", "a value that contains itself"),
        ("a: [1", "not valid YAML"),
        ("a: !Sub text", "not valid YAML"),
        ("a: " + "9" * 6000, "not valid YAML"),
        ("? [a]\n: b", "not valid YAML"),
        ("[" * 30_000, "nested deeper than 200 levels"),
        ("{a: " * 30_000, "nested deeper than 200 levels"),
        ("- " * 30_000 + "a", "nested deeper than 200 levels"),
        ("? " * 30_000 + "a", "nested deeper than 200 levels"),
        ("\n".join(" " * n + "a:" for n in range(300)), "nested deeper than 200 levels"),
        ("\n".join(["a0: &a0 [x]", *(f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 5000))]), "nested deeper than 200"),
        (
            "\n".join(["a0: &a0 [x]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10))]),
            "more than 2,000,000 values when its aliases are written out",
        ),
        (
            "\n".join(
                ["a0: &a0 {k: v}", *(f"a{n}: &a{n}\n  <<: [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10))]
            ),
            "more than 2,000,000 values",
        ),
    ],
)
def test_what_cannot_be_read_is_one_short_reason(text: str, why: str) -> None:
    with pytest.raises(Illegible, match=why):
        [marks.value_of(root, loader) for root, loader in marks.documents(text)]


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("2026-01-01", "2026-01-01"),
        ("12:30", "12:30"),
        ("1:30.5", "1:30.5"),
        ("0644", 420),
        ("0x10", 16),
        ("1_000", 1000),
        ("1.5", 1.5),
        ("yes", True),
        ("~", None),
        ("1e3", "1e3"),
    ],
)
def test_plain_scalars_are_what_the_tools_of_kubernetes_take_them_for(written: str, value: Any) -> None:
    ((root, loader),) = marks.documents(f"a: {written}")
    assert marks.value_of(root, loader) == {"a": value}
