"""How weights get into a volume: once, resumable, never half-written, the token from a file and printed nowhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from modelberth.catalog import catalog
from modelberth.decision import Decision, Source
from modelberth.engines.base import (
    HUB_ENDPOINT,
    HUB_TOKEN_MOUNT,
    WEIGHTS_MOUNT,
    Fetch,
    Wishes,
    image_reference,
    weights_folder,
)
from modelberth.engines.beside import adapter_folder, folder_of

How = Callable[[str, Source, Wishes, str], Fetch]
"""(image, what, wishes, name of what it brings beside the weights) to a download."""

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

_STORE = """
file="$target.incomplete/$FILE"; blobs="$target.incomplete/blobs"
case "$MODEL" in */*) name="$MODEL" ;; *) name="library/$MODEL" ;; esac
manifest="$target.incomplete/manifests/registry.ollama.ai/$name/latest"
mkdir -p "$blobs" "$(dirname "$manifest")"
digest_of() { sha256sum "$1" | cut -d ' ' -f 1; }
bytes_of() { wc -c < "$1" | tr -d ' '; }
family=$(head -c 4096 "$file" | LC_ALL=C tr -c 'A-Za-z0-9_.-' '\\n' | sed -n '1,/^general.architecture$/d; /./{p;q;}')
printf '{"model_format":"gguf","model_family":"%s","model_families":["%s"],"file_type":"%s",' \\
  "$family" "$family" "$KIND" > "$blobs/config"
printf '"architecture":"amd64","os":"linux"}' >> "$blobs/config"
model=$(digest_of "$file"); config=$(digest_of "$blobs/config")
docker=application/vnd.docker
printf '{"schemaVersion":2,"mediaType":"%s.distribution.manifest.v2+json",' "$docker" > "$manifest"
printf '"config":{"mediaType":"%s.container.image.v1+json","digest":"sha256:%s","size":%s},' \\
  "$docker" "$config" "$(bytes_of "$blobs/config")" >> "$manifest"
printf '"layers":[{"mediaType":"application/vnd.ollama.image.model","digest":"sha256:%s","size":%s}]}' \\
  "$model" "$(bytes_of "$file")" >> "$manifest"
mv "$blobs/config" "$blobs/sha256-$config"
mv "$file" "$blobs/sha256-$model\""""


def _script(download: str) -> str:
    return _FRAME.format(mount=WEIGHTS_MOUNT, download=download)


def _common(source: Source, wishes: Wishes) -> list[tuple[str, str]]:
    env = [
        ("FOLDER", folder_of(source)),
        ("REPOSITORY", source.repository),
        ("HF_ENDPOINT", (wishes.hub_endpoint or HUB_ENDPOINT).rstrip("/")),
        ("HOME", "/tmp"),
    ]
    return [*env, ("REVISION", source.revision)] if source.revision else env


def snapshot_of(image: str, source: Source, wishes: Wishes, beside: str = "") -> Fetch:
    """All safetensors and configuration files of a repository, by the hub's own client in the engine's image."""
    env = [*_common(source, wishes), ("HF_HOME", "/tmp/hub"), ("HF_HUB_DISABLE_XET", "1")]  # Xet buffers gigabytes
    if wishes.token:
        env.append(("HF_TOKEN_PATH", f"{HUB_TOKEN_MOUNT}/{wishes.token.key}"))
    return Fetch(image, _script(_SNAPSHOT), tuple(sorted(env)), beside)


def file_of(image: str, source: Source, wishes: Wishes, beside: str = "") -> Fetch:
    """One file of a repository, by curl (part of llama.cpp's server image)."""
    key = wishes.token.key if wishes.token else "none"
    env = [
        *_common(source, wishes),
        ("FILE", source.file or ""),
        ("TOKEN_FILE", f"{HUB_TOKEN_MOUNT}/{key}"),
    ]
    return Fetch(image, _script(_FILE), tuple(sorted(env)), beside)


def into(folder: str, download: Fetch) -> Fetch:
    """The same download into another folder of the volume."""
    return replace(download, env=tuple(sorted({**dict(download.env), "FOLDER": folder}.items())))


def everything(how: How, image: str, decision: Decision, wishes: Wishes) -> tuple[Fetch, ...]:
    """The weights of a claim, then each adapter and the draft model; nothing where no claim is filled."""
    if decision.storage.kind != "claim":
        return ()
    found = [how(image, decision.source, wishes, "")]
    for adapter in decision.adapters or ():
        found.append(into(adapter_folder(adapter), how(image, adapter.source, wishes, f"adapter-{adapter.name}")))
    drafting = decision.speculative
    if drafting and drafting.source:
        found.append(how(image, drafting.source, wishes, "draft-model"))
    return tuple(found)


def store_folder(decision: Decision) -> str:
    """Folder of the store that Ollama serves a file from; another one than llama.cpp's for the file itself, whose Job
    may run at the same time.
    """
    return f"ollama/{weights_folder(decision)}"


def into_store(decision: Decision, wishes: Wishes) -> Fetch:
    """One file of a repository, by curl, laid down as a model of Ollama's: what a pull from the hub would have made.

    A manifest, a configuration and the file under its digest (manifest/manifest.go and types/model/config.go of
    ollama/ollama at v0.32.15 to v0.34.0). `ollama create` would need a server that may write to the volume, and writes
    the file a second time (server/create.go, copyLayerWithLlamaQuantize).
    """
    image = image_reference(catalog().engine("llamacpp").image("cpu"), Wishes(wishes.service, registry=wishes.registry))
    downloaded = into(store_folder(decision), file_of(image, decision.source, wishes))
    more = (("KIND", decision.quantization.upper()), ("MODEL", decision.model))
    return replace(downloaded, env=tuple(sorted((*downloaded.env, *more))), script=_script(_FILE + _STORE))
