"""A stack is cut off or refused at each of its calls, and ends as if it had not been."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.faults import rounds
from tests.faults.own import from_nothing
from tests.faults.stacks import OWN, SCENARIOS
from tests.providers import faults
from toolchain.cluster import Cluster

pytestmark = pytest.mark.faults
REFUSING = tuple(sorted(faults.REFUSING))


@pytest.fixture(params=SCENARIOS)
def prepared(request: pytest.FixtureRequest, prepare: Callable[[rounds.Scenario], rounds.Prepared]) -> rounds.Prepared:
    return prepare(SCENARIOS[request.param])


@pytest.mark.parametrize("kind", rounds.CUT_OFF)
def test_a_run_that_is_cut_off_is_recovered(
    prepared: rounds.Prepared, at_every_call: Callable[..., None], kind: str
) -> None:
    at_every_call(prepared, (kind,), lambda call: rounds.cut_off(prepared, call, kind))


@pytest.mark.parametrize("kind", sorted(faults.HALF_DONE))
def test_what_was_done_but_answered_with_an_error_is_mended_by_the_next_run(
    prepared: rounds.Prepared, at_every_call: Callable[..., None], kind: str
) -> None:
    at_every_call(prepared, (kind,), lambda call: rounds.half_done(prepared, call, kind))


def test_what_the_cloud_refuses_in_whatever_way_is_done_by_the_next_run(
    prepared: rounds.Prepared, at_every_call: Callable[..., None]
) -> None:
    at_every_call(prepared, REFUSING, lambda call: rounds.refused(prepared, call, REFUSING))


@pytest.fixture(params=OWN)
def own(
    request: pytest.FixtureRequest, prepare: Callable[[rounds.Scenario], rounds.Prepared], cluster: Cluster
) -> rounds.Prepared:
    return prepare(from_nothing(request.param, cluster.kubeconfig))


@pytest.mark.parametrize("kind", rounds.CUT_OFF)
def test_a_stack_of_this_project_that_is_cut_off_is_recovered(
    own: rounds.Prepared, at_every_call: Callable[..., None], kind: str
) -> None:
    at_every_call(own, (kind,), lambda call: rounds.cut_off(own, call, kind))


@pytest.mark.parametrize("kind", sorted(faults.HALF_DONE))
def test_a_stack_of_this_project_mends_what_was_done_but_answered_with_an_error(
    own: rounds.Prepared, at_every_call: Callable[..., None], kind: str
) -> None:
    at_every_call(own, (kind,), lambda call: rounds.half_done(own, call, kind))


def test_a_stack_of_this_project_does_with_the_next_run_what_was_refused(
    own: rounds.Prepared, at_every_call: Callable[..., None]
) -> None:
    at_every_call(own, REFUSING, lambda call: rounds.refused(own, call, REFUSING))
