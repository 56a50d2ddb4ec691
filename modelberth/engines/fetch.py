"""How weights get into a volume: once, resumable, never half-written, the token from a file and printed nowhere."""

from __future__ import annotations

from collections.abc import Callable

from modelberth.decision import Decision, Source
from modelberth.engines.base import HUB_ENDPOINT, HUB_TOKEN_MOUNT, WEIGHTS_MOUNT, Fetch, Wishes
from modelberth.engines.beside import folder_of

How = Callable[[str, Source, Wishes, str], Fetch]

_FRAME = """set -eu
target="{mount}/$FOLDER"
if [ -f "$target/.complete" ]; then echo "already complete: $FOLDER"; exit 0; fi
mkdir -p "$target.incomplete"
{download}
touch "$target.incomplete/.complete"
rm -rf "$target"
mv "$target.incomplete" "$target"
echo "complete: $FOLDER"
"""

_SNAPSHOT = """TARGET="$target.incomplete" python3 -c '
import os
from huggingface_hub import snapshot_download
snapshot_download(
    os.environ["REPOSITORY"],
    revision=os.environ.get("REVISION"),
    local_dir=os.environ["TARGET"],
    allow_patterns=["*.safetensors", "*.json", "*.txt", "*.model", "*.jinja"],
    ignore_patterns=["original/*", "metal/*", "consolidated*"],
)'"""

_FILE = """header=/tmp/header; : > "$header"; chmod 600 "$header"
if [ -f "$TOKEN_FILE" ]; then printf 'Authorization: Bearer %s' "$(cat "$TOKEN_FILE")" > "$header"; fi
curl --fail --location --silent --show-error --retry 8 --retry-all-errors --continue-at - --header "@$header" \\
  --output "$target.incomplete/$FILE" "$HF_ENDPOINT/$REPOSITORY/resolve/${REVISION:-main}/$FILE\""""


def _common(source: Source, wishes: Wishes) -> list[tuple[str, str]]:
    env = [
        ("FOLDER", folder_of(source)),
        ("REPOSITORY", source.repository),
        ("HF_ENDPOINT", (wishes.hub_endpoint or HUB_ENDPOINT).rstrip("/")),
        ("HOME", "/tmp"),
    ]
    return [*env, ("REVISION", source.revision)] if source.revision else env


def snapshot(image: str, decision: Decision, wishes: Wishes) -> Fetch:
    """The weights of a decision, as :func:`snapshot_of` brings them."""
    return snapshot_of(image, decision.source, wishes)


def snapshot_of(image: str, source: Source, wishes: Wishes, beside: str = "") -> Fetch:
    """All safetensors and configuration files of a repository, by the hub's own client in the engine's image."""
    env = [*_common(source, wishes), ("HF_HOME", "/tmp/hub"), ("HF_HUB_DISABLE_XET", "1")]  # Xet buffers gigabytes
    if wishes.token:
        env.append(("HF_TOKEN_PATH", f"{HUB_TOKEN_MOUNT}/{wishes.token.key}"))
    return Fetch(image, _FRAME.format(mount=WEIGHTS_MOUNT, download=_SNAPSHOT), tuple(sorted(env)), beside)


def single_file(image: str, decision: Decision, wishes: Wishes) -> Fetch:
    """The weights of a decision, as :func:`file_of` brings them."""
    return file_of(image, decision.source, wishes)


def file_of(image: str, source: Source, wishes: Wishes, beside: str = "") -> Fetch:
    """One file of a repository, by curl (part of llama.cpp's server image)."""
    key = wishes.token.key if wishes.token else "none"
    env = [
        *_common(source, wishes),
        ("FILE", source.file or ""),
        ("TOKEN_FILE", f"{HUB_TOKEN_MOUNT}/{key}"),
    ]
    return Fetch(image, _FRAME.format(mount=WEIGHTS_MOUNT, download=_FILE), tuple(sorted(env)), beside)


def everything(how: How, image: str, decision: Decision, wishes: Wishes) -> tuple[Fetch, ...]:
    """The weights of a claim, then each adapter and the draft model; nothing where no claim is filled."""
    if decision.storage.kind != "claim":
        return ()
    found = [how(image, decision.source, wishes, "")]
    found += [how(image, each.source, wishes, f"adapter-{each.name}") for each in decision.adapters or ()]
    drafting = decision.speculative
    if drafting and drafting.source:
        found.append(how(image, drafting.source, wishes, "draft-model"))
    return tuple(found)
