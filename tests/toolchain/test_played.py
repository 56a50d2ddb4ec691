"""`make up` of a cloud's stack: who plays the cloud, and that nothing but its name asks for an account."""

from __future__ import annotations

import pytest

from toolchain import build, local, played
from toolchain.engine import EngineError


def test_credentials_do_not_choose_an_account(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CLOUD", raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "key.json")
    assert not local.is_real()


def test_an_account_is_used_when_asked_for_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOUD", "real")
    assert local.is_real()


def test_another_word_is_refused_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOUD", "aws")
    with pytest.raises(EngineError, match="CLOUD=real"):
        local.is_real()


def test_without_pulumi_an_account_is_out_of_reach_and_the_plain_command_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(build, "installed_pulumi", lambda: None)
    with pytest.raises(EngineError, match="pulumi up --stack prod"):
        played.real(["up"], "prod", "gke")
    assert "in the account that you are logged in to" in capsys.readouterr().out
