"""Settings that an engine reads from a file: the file, and the variable that lets them be read back from a pod."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

SETTINGS_PATH = "/etc/modelberth/settings.yaml"
SETTINGS = "MODELBERTH_SETTINGS"
"""The content of the settings file once more, as JSON: the file lies in a ConfigMap, which a pod does not show."""


def as_yaml(settings: Mapping[str, Any]) -> str:
    """The file, its keys in order."""
    return yaml.safe_dump(dict(settings), sort_keys=True, default_flow_style=False)


def as_json(settings: Mapping[str, Any]) -> str:
    """The variable, its keys in order."""
    return json.dumps(settings, sort_keys=True, separators=(",", ":"))


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", strict=True, protected_namespaces=())


class KvCache(_Part):
    """What the settings say of the KV cache."""

    dtype: str = "auto"
    free_gpu_memory_fraction: float | None = None


class Stated(_Part):
    """Those of TensorRT-LLM's arguments that sizing depends on. None means the engine's default."""

    model: str | None = None
    max_seq_len: int | None = None
    max_batch_size: int | None = None
    max_num_tokens: int | None = None
    tensor_parallel_size: int = 1
    pipeline_parallel_size: int = 1
    kv_cache_config: KvCache = KvCache()


def from_env(env: Mapping[str, Any]) -> Stated | None:
    """The settings that a container states, None where it states none or nothing legible."""
    text = env.get(SETTINGS)
    try:
        return Stated.model_validate_json(text) if isinstance(text, str) else None
    except ValidationError:
        return None


def unread(what: str) -> str:
    """Why a fact in a file is undecided."""
    return f"{what} is no part of this object"
