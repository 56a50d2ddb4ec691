"""How weights get into a volume: once, resumable, never half-written, the token from a file and printed nowhere."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from importlib.resources import files
from typing import Literal, Protocol

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

Layout = Literal["volume", "bucket"]
"""A file system that renames and locks, or a bucket shown as files, where a file is written once and from its start."""


class How(Protocol):
    """(image, what, wishes, name of what it brings beside the weights, what it fills) to a download."""

    def __call__(
        self, image: str, source: Source, wishes: Wishes, beside: str = "", layout: Layout = "volume"
    ) -> Fetch:
        """The container that downloads."""
        ...


_STORE = """
blobs="$work/blobs"
case "$MODEL" in */*) name="$MODEL" ;; *) name="library/$MODEL" ;; esac
manifest="$work/manifests/registry.ollama.ai/$name/latest"
mkdir -p "$blobs" "$(dirname "$manifest")"
family=$(head -c 4096 "$file" | LC_ALL=C tr -c 'A-Za-z0-9_.-' '\\n' | sed -n '1,/^general.architecture$/d; /./{p;q;}')
printf '{"model_format":"gguf","model_family":"%s","model_families":["%s"],"file_type":"%s",' \\
  "$family" "$family" "$KIND" > "$blobs/config"
printf '"architecture":"amd64","os":"linux"}' >> "$blobs/config"
config=$(sum_of "$blobs/config")
docker=application/vnd.docker
printf '{"schemaVersion":2,"mediaType":"%s.distribution.manifest.v2+json",' "$docker" > "$manifest"
printf '"config":{"mediaType":"%s.container.image.v1+json","digest":"sha256:%s","size":%s},' \\
  "$docker" "$config" "$(bytes_of "$blobs/config")" >> "$manifest"
printf '"layers":[{"mediaType":"application/vnd.ollama.image.model","digest":"sha256:%s","size":%s}]}' \\
  "$stated" "$bytes" >> "$manifest"
mv "$blobs/config" "$blobs/sha256-$config"
mv "$file" "$blobs/sha256-$stated\""""


@cache
def script_named(name: str) -> str:
    """One of the scripts, or a part of one, without the line break at its end."""
    return (files("modelberth.engines") / "scripts" / f"{name}.txt").read_text(encoding="utf-8").rstrip("\n")


def snapshot_script() -> str:
    """Python program that brings the files of a repository; it holds no single quote, so that a shell can quote it."""
    return script_named("snapshot")


def _framed(layout: Layout, *parts: str) -> str:
    """A download by a shell: into a folder beside the finished one, or into a bucket, which knows no renaming."""
    named = script_named(layout).replace("{mount}", WEIGHTS_MOUNT)
    return named.replace("{download}", "\n".join(parts)) + "\n"


def _file_script(layout: Layout, then: str = "") -> str:
    steps = [script_named("file"), script_named(f"file-{layout}"), script_named("file-checked")]
    return _framed(layout, *steps, *([then.strip("\n")] if then else []))


def _common(source: Source, wishes: Wishes) -> list[tuple[str, str]]:
    env = [
        ("FOLDER", folder_of(source)),
        ("REPOSITORY", source.repository),
        ("HF_ENDPOINT", (wishes.hub_endpoint or HUB_ENDPOINT).rstrip("/")),
        ("HOME", "/tmp"),
        ("TOKEN_FILE", f"{HUB_TOKEN_MOUNT}/{wishes.token.key if wishes.token else 'none'}"),
    ]
    return [*env, ("REVISION", source.revision)] if source.revision else env


def snapshot_of(image: str, source: Source, wishes: Wishes, beside: str = "", layout: Layout = "volume") -> Fetch:
    """All safetensors and configuration files of a repository, each checked, by the Python of the engine's image."""
    env = [*_common(source, wishes), *([("ALLOW_PICKLE", "1")] if wishes.allow_pickle else [])]
    if layout == "bucket":
        env.append(("LAYOUT", layout))
    script = f"set -eu\nTARGET=\"{WEIGHTS_MOUNT}/$FOLDER\" exec python3 -c '{snapshot_script()}'\n"
    return Fetch(image, script, tuple(sorted(env)), beside)


def file_of(image: str, source: Source, wishes: Wishes, beside: str = "", layout: Layout = "volume") -> Fetch:
    """One file of a repository, checked, by curl (part of llama.cpp's server image)."""
    env = [*_common(source, wishes), ("FILE", source.file or "")]
    return Fetch(image, _file_script(layout), tuple(sorted(env)), beside)


def into(folder: str, download: Fetch) -> Fetch:
    """The same download into another folder of the volume."""
    return replace(download, env=tuple(sorted({**dict(download.env), "FOLDER": folder}.items())))


def layout_of(decision: Decision) -> Layout | None:
    """What a Job fills: a volume, or a bucket; None where nothing is filled from here."""
    return {"claim": "volume", "bucket": "bucket", "stream": "bucket"}.get(decision.storage.kind)  # type: ignore[return-value]


def everything(how: How, image: str, decision: Decision, wishes: Wishes) -> tuple[Fetch, ...]:
    """The weights of a claim or bucket, then each adapter and the draft model; nothing where none is filled here."""
    layout = None if wishes.weights_path else layout_of(decision)
    if layout is None:
        return ()
    found = [how(image, decision.source, wishes, "", layout)]
    for adapter in decision.adapters or ():
        step = how(image, adapter.source, wishes, f"adapter-{adapter.name}", layout)
        found.append(into(adapter_folder(adapter), step))
    drafting = decision.speculative
    if drafting and drafting.source:
        found.append(how(image, drafting.source, wishes, "draft-model", layout))
    return tuple(found)


def gate(decision: Decision, wishes: Wishes, folder: str = "") -> str:
    """Script that a pod runs before its server where weights lie in a bucket shown as files: it ends badly, and so is
    run again, until the folder is finished. Empty where the folder appears by a rename, finished or not at all.

    ``folder`` where it is another than that of the weights.
    """
    if decision.storage.kind != "bucket" or wishes.weights_path:
        return ""
    marker = f"{WEIGHTS_MOUNT}/{folder or weights_folder(decision)}/.complete"
    return (
        f'if [ -f "{marker}" ]; then exit 0; fi\n'
        f'echo "stopped: {marker} is not there, so the download of these weights has not finished" >&2\nexit 1\n'
    )


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
    return replace(downloaded, env=tuple(sorted((*downloaded.env, *more))), script=_file_script("volume", _STORE))
