"""A model that the catalog lacks, from its repository: read once, pinned to a revision, written down as a row.

Needs the extra ``hub`` (huggingface_hub), which is imported when it is first asked for; everything else here is pure.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from importlib import import_module
from pathlib import Path
from typing import Any, cast

import yaml

from modelberth.catalog.config_formats import stored_formats
from modelberth.catalog.configs import model_of
from modelberth.catalog.schema import Model
from modelberth.errors import ModelberthError

MOST_CONFIG_BYTES = 10_000_000
_SECOND_EXPORT = "consolidated"
"""How files begin that hold the same weights again, as do all files in folders (``original/``, ``metal/``)."""


class HubError(ModelberthError):
    """A repository that cannot be read, or holds no model that we can size."""


@dataclass(frozen=True)
class Repository:
    """What was read of one: the commit and its date, its configurations, and bytes by file."""

    id: str
    revision: str
    changed: date
    config: Mapping[str, Any]
    quantization: Mapping[str, Any] | None
    files: Mapping[str, int]


def stored_bytes(files: Mapping[str, int]) -> int | None:
    """Bytes of the ``*.safetensors`` files that an engine loads, None when there are none."""
    loaded = (name for name in files if name.endswith(".safetensors") and "/" not in name)
    sizes = [files[name] for name in loaded if not name.startswith(_SECOND_EXPORT)]
    return sum(sizes) or None


def row_of(repository: Repository) -> Model:
    """The row of a repository. Raises :class:`~modelberth.catalog.configs.ConfigError` for one we cannot size."""
    config = dict(repository.config)
    if repository.quantization and not config.get("quantization_config"):
        config = stored_formats(config, dict(repository.quantization))
    model = model_of(
        config,
        repository.id,
        source=f"config.json of the repository at {repository.revision}",
        as_of=repository.changed,
    )
    weights = stored_bytes(repository.files)
    told = {"weights_bytes": weights, "weights_source": "sum of its *.safetensors files"} if weights else {}
    return model.model_copy(update={"revision": repository.revision, **told})


def as_yaml(model: Model) -> str:
    """The row as a file of the catalog holds it, without the fields that have no value."""
    fields = model.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    return yaml.safe_dump({"rows": [fields]}, sort_keys=False, allow_unicode=True, width=1000)


def fetch(id: str, revision: str | None = None) -> Repository:
    """Reads a repository through ``huggingface_hub``. Raises :class:`HubError` without it, or when that fails."""
    try:
        library: Any = import_module("huggingface_hub")
    except ImportError:
        raise HubError("reading repositories needs the extra: pip install 'modelberth[hub]'") from None
    try:
        info: Any = library.HfApi().model_info(id, revision=revision, files_metadata=True)
        commit, changed = str(info.sha), info.last_modified.date()
        files: dict[str, int] = {file.rfilename: int(file.size or 0) for file in info.siblings}
        texts = {
            name: Path(library.hf_hub_download(id, name, revision=commit)).read_text(encoding="utf-8")
            for name in ("config.json", "hf_quant_config.json")
            if 0 < files.get(name, 0) <= MOST_CONFIG_BYTES
        }
    except Exception as error:  # whatever the library raises is one line for the user
        raise HubError(
            f"{id}: cannot be read ({type(error).__name__}); does it exist, and is a token needed?"
        ) from None
    if "config.json" not in texts:
        raise HubError(f"{id}: no config.json of at most {MOST_CONFIG_BYTES:,} bytes")
    config, quantization = (_object(id, name, texts) for name in ("config.json", "hf_quant_config.json"))
    return Repository(id, commit, changed, config, quantization, files)


def _object(id: str, name: str, texts: Mapping[str, str]) -> dict[str, Any]:
    try:
        content = json.loads(texts.get(name, "{}"))
    except (ValueError, RecursionError):
        raise HubError(f"{id}: {name} is not JSON") from None
    if not isinstance(content, dict):
        raise HubError(f"{id}: {name} is not an object")
    return cast("dict[str, Any]", content)
