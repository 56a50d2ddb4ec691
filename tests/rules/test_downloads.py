"""What is asked of a download that comes from a file, and not of one that a program owns."""

from dataclasses import replace

from modelberth.resources import Resource
from modelberth.rules.base import Settings
from tests.rules.cases import type_of
from tests.rules.cases.metadata import job
from tests.rules.samples import rule


def said(resource: Resource) -> list[str]:
    return [finding.path for finding in rule("WH-20").about(resource, Settings())]


def test_a_job_from_a_file_is_cleared_away_by_kubernetes_one_of_a_program_by_pulumi() -> None:
    manifest = job()
    of_a_program = Resource(type_of(manifest), "get", manifest)
    assert said(of_a_program) == []
    assert said(replace(of_a_program, from_program=False)) == ["spec.ttlSecondsAfterFinished"]
    cleared = job(ttlSecondsAfterFinished=86400)
    assert said(Resource(type_of(cleared), "get", cleared, from_program=False)) == []
