"""What a person may write, and what it is taken to mean."""

from __future__ import annotations

import json

import pytest

from modelberth import parse
from modelberth.spec import EngineName, Profile, Quantization, ServiceSpec
from tests.modelberth.samples import LLAMA_8B, ROOT, document, stack_document


def test_three_fields_make_a_service() -> None:
    spec = parse.service(document())
    assert (spec.model.id, spec.context, spec.concurrency) == (LLAMA_8B, 8192, 8)
    assert (spec.engine, spec.quantization, spec.replicas) == (EngineName.AUTO, Quantization.AUTO, 1)


def test_a_model_may_be_named_by_its_id_alone_or_with_a_revision() -> None:
    revision = "0" * 40
    assert parse.service(document(model=LLAMA_8B)).model.revision is None
    assert parse.service(document(model={"id": LLAMA_8B, "revision": revision})).model.revision == revision


@pytest.mark.parametrize("field", ["context", "concurrency", "replicas", "tensor_parallel"])
def test_whole_numbers_may_arrive_as_floats(field: str) -> None:
    value = getattr(parse.service(document(**{field: 2.0})), field)
    assert value == 2
    assert isinstance(value, int)


def test_a_request_is_counted_with_its_whole_context_unless_a_typical_length_is_stated() -> None:
    assert parse.service(document()).tokens_per_request == 8192
    assert parse.service(document(typical_tokens=3000)).tokens_per_request == 3000


def test_the_keys_of_a_stack_file_may_carry_the_project_prefix() -> None:
    plain = stack_document()
    prefixed = {f"modelberth:{key}": value for key, value in plain.items()} | {"aws:region": "eu-central-1"}
    assert parse.stack({"config": prefixed}) == parse.stack(prefixed) == parse.stack(plain)


@pytest.mark.parametrize(
    ("content", "answer"),
    [
        ({"config": {}}, True),
        ({"modelberth:services": {}}, True),
        ({"services": {}}, True),
        ({"target": {}}, True),
        (document(), False),
        ([], False),
    ],
)
def test_a_stack_file_is_told_from_a_bare_spec(content: object, answer: bool) -> None:
    assert parse.is_stack(content) is answer


def test_a_service_states_its_own_profile_or_has_that_of_the_stack() -> None:
    services = {"chat": document(), "draft": document(profile="dev")}
    spec = parse.stack(stack_document(services, defaults={"profile": "prod"}))
    assert (spec.profile_of("chat"), spec.profile_of("draft")) == (Profile.PROD, Profile.DEV)


def test_a_spec_cannot_be_changed_once_it_is_read() -> None:
    spec = parse.service(document())
    with pytest.raises(ValueError, match="frozen"):
        spec.context = 1  # type: ignore[misc]


def test_every_field_says_what_it_is() -> None:
    undescribed = [name for name, field in ServiceSpec.model_fields.items() if not field.description]
    assert undescribed == []


def test_the_schema_for_editors_knows_every_field_of_a_service() -> None:
    schema = json.loads((ROOT / "docs" / "spec.schema.json").read_text(encoding="utf-8"))
    assert set(schema["$defs"]["ServiceSpec"]["properties"]) == set(ServiceSpec.model_fields)
