"""Every architecture that a config.json may name has parts, and no part is described twice."""

from __future__ import annotations

from modelberth.catalog import catalog
from modelberth.catalog.config_families import FAMILIES as READ
from modelberth.memory import shape_of
from modelberth.memory.families import FAMILIES


def test_every_architecture_that_is_read_has_parts() -> None:
    assert sorted(set(READ) - set(FAMILIES)) == []


def test_no_part_of_a_model_stands_in_its_list_twice() -> None:
    for model in catalog().models():
        parts = shape_of(model).parts
        assert len(set(parts)) == len(parts), model.id


def test_every_model_of_the_catalog_has_a_shape() -> None:
    assert all(shape_of(model).parameters > 0 for model in catalog().models())
