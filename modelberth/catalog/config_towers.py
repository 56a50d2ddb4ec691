"""Parameters of vision and audio towers with their projectors, from the sections of a ``config.json`` on them.

One function per tower, term by term as in Hugging Face transformers 5.23.0 (src/transformers/models/<name>/
modeling_<name>.py; the name stands with each function). Numbers that a configuration leaves out are the defaults of
configuration_<name>.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from modelberth.catalog.config_fields import MOST_LAYERS, Fields

Tower = Callable[["Reading"], int]


class Reading:
    """A section with the tower's defaults; a number that is neither stated nor a default is noted as missing."""

    def __init__(self, section: Fields, text_hidden: int, defaults: Mapping[str, int]) -> None:
        self.section = section
        self.text_hidden = text_hidden
        self._defaults = defaults

    def __getitem__(self, name: str) -> int:
        most = MOST_LAYERS if name in ("depth", "num_hidden_layers", "vt_num_hidden_layers") else 2**16
        value = self.section.count(name, most=most)
        if value is None:
            value = self._defaults.get(name)
        if value is None and self.section.raw(name)[1] is None:
            self.section.problem(name, "missing")
        return value or 0


def _block(hidden: int, width: int, *, gated: bool = False, bias: bool = True, norm: int = 2) -> int:
    """One encoder block: attention and feed-forward with two norms of ``norm`` vectors each."""
    projections = 4 * hidden * hidden + (3 if gated else 2) * hidden * width
    biases = 5 * hidden + (2 if gated else 1) * width if bias else 0
    return projections + biases + 2 * norm * hidden


def _merger(hidden: int, merged: int, out: int, norm: int) -> int:
    return norm + merged * merged + merged + merged * out + out


def qwen3(t: Reading) -> int:
    """qwen3_vl, qwen3_vl_moe, qwen3_5, qwen3_5_moe."""
    hidden, out = t["hidden_size"], t["out_hidden_size"]
    patch = t["in_channels"] * t["temporal_patch_size"] * t["patch_size"] ** 2 * hidden + hidden
    merged = hidden * t["spatial_merge_size"] ** 2
    deepstack = len(t.section.items("deepstack_visual_indexes", most=MOST_LAYERS) or ())
    return (
        patch
        + t["num_position_embeddings"] * hidden
        + t["depth"] * _block(hidden, t["intermediate_size"])
        + _merger(hidden, merged, out, 2 * hidden)
        + deepstack * _merger(hidden, merged, out, 2 * merged)
    )


def qwen2_5(t: Reading) -> int:
    """qwen2_5_vl."""
    hidden, out = t["hidden_size"], t["out_hidden_size"]
    patch = t["in_channels"] * t["temporal_patch_size"] * t["patch_size"] ** 2 * hidden
    blocks = t["depth"] * _block(hidden, t["intermediate_size"], gated=True, norm=1)
    return patch + blocks + _merger(hidden, hidden * t["spatial_merge_size"] ** 2, out, hidden)


def qwen2(t: Reading) -> int:
    """qwen2_vl; its ``hidden_size`` is that of the text model."""
    hidden, out = t["embed_dim"], t["hidden_size"]
    patch = t["in_channels"] * t["temporal_patch_size"] * t["patch_size"] ** 2 * hidden
    blocks = t["depth"] * _block(hidden, hidden * t["mlp_ratio"])
    return patch + blocks + _merger(hidden, hidden * t["spatial_merge_size"] ** 2, out, 2 * hidden)


def siglip(t: Reading) -> int:
    """Tower siglip under gemma3: no pooling head, one projection."""
    hidden = t["hidden_size"]
    positions = (t["image_size"] // max(t["patch_size"], 1)) ** 2
    patch = 3 * t["patch_size"] ** 2 * hidden + hidden
    blocks = t["num_hidden_layers"] * _block(hidden, t["intermediate_size"])
    return patch + positions * hidden + blocks + 2 * hidden + hidden * t.text_hidden + hidden


def gemma4(t: Reading) -> int:
    """gemma4, vision."""
    hidden, heads = t["hidden_size"], t["num_attention_heads"] * t["head_dim"]
    keys = t["num_key_value_heads"] * t["head_dim"]
    block = 2 * hidden * (heads + keys) + 3 * hidden * t["intermediate_size"] + 4 * hidden + 2 * t["head_dim"]
    patch = 3 * t["patch_size"] ** 2 * hidden + 2 * t["position_embedding_size"] * hidden
    return patch + t["num_hidden_layers"] * block + 2 * hidden + hidden * t.text_hidden


def gemma4_audio(t: Reading) -> int:
    """gemma4, audio: convolutions of 128 and 32 channels, conformer blocks, output projection and embedder."""
    hidden, out = t["hidden_size"], t["output_proj_dims"]
    convolutions = 9 * 128 + 128 + 9 * 128 * 32 + 32 + (128 // 4) * 32 * hidden
    block = 24 * hidden * hidden + t["conv_kernel_size"] * hidden + 9 * hidden
    return convolutions + t["num_hidden_layers"] * block + hidden * out + out + out * t.text_hidden


def gemma4_unified(t: Reading) -> int:
    """gemma4_unified: patches go straight into the text model."""
    patch, width = 3 * (t["patch_size"] * t["pooling_kernel_size"]) ** 2, t["mm_embed_dim"]
    dense = patch * width + width + 2 * patch + 4 * width
    return dense + 2 * t["mm_posemb_size"] * width + width * t.text_hidden


def gemma4_unified_audio(t: Reading) -> int:
    """gemma4_unified: one projection of the audio frames."""
    return t["audio_embed_dim"] * t.text_hidden


def pixtral(t: Reading) -> int:
    """Tower pixtral under mistral3: patches of 2 x 2 are merged, then projected twice."""
    hidden, text = t["hidden_size"], t.text_hidden
    block = _block(hidden, t["intermediate_size"], gated=True, bias=False, norm=1)
    projector = 4 * hidden * hidden + hidden + hidden * text + text * text
    return 3 * t["patch_size"] ** 2 * hidden + t["num_hidden_layers"] * block + hidden + projector


def kimi_k25(t: Reading) -> int:
    """kimi_k25 (MoonViT)."""
    hidden = t["vt_hidden_size"]
    patch = 3 * t["patch_size"] ** 2 * hidden + hidden + t["init_pos_emb_height"] * t["init_pos_emb_width"] * hidden
    merged = 4 * t["mm_hidden_size"]
    blocks = t["vt_num_hidden_layers"] * _block(hidden, t["vt_intermediate_size"])
    projector = 2 * t["mm_hidden_size"] + merged * merged + merged + merged * t.text_hidden + t.text_hidden
    return patch + blocks + 2 * hidden + projector


def kimi_k3(t: Reading) -> int:
    """Kimi K3 (vLLM 0.33.0, model_executor/models/kimi_k25_vit.py): attention of its own width, no biases."""
    hidden, attention = t["vt_hidden_size"], t["qkv_hidden_size"]
    block = 4 * hidden * attention + 2 * hidden * t["vt_intermediate_size"] + 2 * hidden
    patch = 3 * t["patch_size"] ** 2 * hidden + t["init_pos_emb_height"] * t["init_pos_emb_width"] * hidden
    merged = 4 * t["mm_hidden_size"]
    projector = 3 * t["mm_hidden_size"] + merged * merged + merged + merged * t.text_hidden + 2 * t.text_hidden
    return patch + t["vt_num_hidden_layers"] * block + hidden + projector


def llama4(t: Reading) -> int:
    """llama4: class token, pixel shuffle, two projections."""
    hidden, projected = t["hidden_size"], t["projector_output_dim"]
    positions = (t["image_size"] // max(t["patch_size"], 1)) ** 2 + 1
    blocks = t["num_hidden_layers"] * _block(hidden, t["intermediate_size"])
    shuffle = t["intermediate_size"] * t["projector_input_dim"] + t["projector_input_dim"] * projected
    embeddings = 3 * t["patch_size"] ** 2 * hidden + (positions + 1) * hidden + 4 * hidden
    return embeddings + blocks + shuffle + t["vision_output_dim"] * t.text_hidden


def mllama(t: Reading) -> int:
    """mllama: positions per aspect ratio and tile, blocks without biases in attention, gated blocks after them."""
    hidden, tiles = t["hidden_size"], t["max_num_tiles"]
    ratios = len(t.section.items("supported_aspect_ratios", most=MOST_LAYERS) or range(8)) + 1
    positions = (t["image_size"] // max(t["patch_size"], 1)) ** 2 + 1
    tiled = ratios * tiles * hidden * (positions + 2) + 3
    embeddings = t["num_channels"] * t["patch_size"] ** 2 * hidden + hidden + positions * hidden + tiled
    block = _block(hidden, t["intermediate_size"]) - 4 * hidden
    blocks = (t["num_hidden_layers"] + t["num_global_layers"]) * block + 2 * t["num_global_layers"]
    return embeddings + 4 * hidden + blocks + t["vision_output_dim"] * t.text_hidden + t.text_hidden


def minimax_m3(t: Reading) -> int:
    """minimax_m3_vl: projection, then 2 x 2 patches merged into the width of the text model."""
    hidden, projected, text = t["hidden_size"], t["projection_dim"], t.text_hidden
    patch = 3 * 2 * t["patch_size"] ** 2 * hidden + 2 * hidden
    blocks = t["num_hidden_layers"] * _block(hidden, t["intermediate_size"])
    return patch + blocks + hidden * projected + projected * text + 4 * text * projected + projected * text + 4 * text


def step3p7(t: Reading) -> int:
    """step3p7: two convolutions halve the image, one projection."""
    hidden = t["hidden_size"]
    positions = (t["image_size"] // max(t["patch_size"], 1)) ** 2
    embeddings = 3 * t["patch_size"] ** 2 * hidden + positions * hidden + 2 * hidden
    blocks = t["num_hidden_layers"] * (_block(hidden, t["intermediate_size"]) + 2 * hidden)
    sampling = 9 * 2 * hidden * hidden + 2 * hidden + 9 * 8 * hidden * hidden + 4 * hidden
    return embeddings + blocks + sampling + 4 * hidden * t.text_hidden


def glm4v(t: Reading) -> int:
    """glm4v, glm4v_moe: patches of 2 x 2 are joined by a convolution, then a gated feed-forward."""
    hidden, out = t["hidden_size"], t["out_hidden_size"]
    positions = (t["image_size"] // max(t["patch_size"], 1)) ** 2
    embeddings = (t["in_channels"] * t["temporal_patch_size"] * t["patch_size"] ** 2 + 1 + positions + 2) * hidden
    blocks = t["depth"] * _block(hidden, out, gated=True, bias=False, norm=1)
    joined = hidden * t["spatial_merge_size"] ** 2 * out + out
    return embeddings + blocks + joined + out * out + 2 * out + 3 * out * t["intermediate_size"]


def internvl(t: Reading) -> int:
    """InternVLChatModel: InternViT and two projections of 2 x 2 patches (vLLM 0.33.0, models/intern_vit.py)."""
    hidden, text, merged = t["hidden_size"], t.text_hidden, 4 * t["hidden_size"]
    positions = (t["image_size"] // max(t["patch_size"], 1)) ** 2 + 1
    embeddings = (3 * t["patch_size"] ** 2 + 1 + positions + 1) * hidden
    blocks = t["num_hidden_layers"] * (_block(hidden, t["intermediate_size"]) + 2 * hidden)
    return embeddings + blocks + 2 * merged + merged * text + text + text * text + text


def muse_glimmer(t: Reading) -> int:
    """muse_glimmer: patches of 2 x 2 x 2 are merged, three projections without biases."""
    hidden, projected = t["hidden_size"], t["projector_hidden_size"]
    patch = 3 * t["patch_temporal"] * t["patch_size"] ** 2 * hidden + t["pos_emb_height"] * t["pos_emb_width"] * hidden
    blocks = t["num_hidden_layers"] * _block(hidden, t["intermediate_size"])
    merged = hidden * t["merge_size"] ** 2
    return patch + blocks + 4 * hidden + merged * projected + projected * projected + projected * t.text_hidden


_QWEN3 = {"in_channels": 3, "temporal_patch_size": 2, "spatial_merge_size": 2, "num_position_embeddings": 2304}
_KIMI = {"patch_size": 14, "init_pos_emb_height": 64, "init_pos_emb_width": 64, "mm_hidden_size": 1152} | {
    "vt_hidden_size": 1152,
    "vt_num_hidden_layers": 27,
    "vt_intermediate_size": 4304,
}

TOWERS: Mapping[str, tuple[tuple[str, Tower, Mapping[str, int]], ...]] = {
    "qwen3": (("vision_config", qwen3, _QWEN3),),
    "qwen2_5": (("vision_config", qwen2_5, {"in_channels": 3, "temporal_patch_size": 2, "spatial_merge_size": 2}),),
    "qwen2": (
        (
            "vision_config",
            qwen2,
            {"in_channels": 3, "temporal_patch_size": 2, "spatial_merge_size": 2, "mlp_ratio": 4, "depth": 32}
            | {"embed_dim": 1280, "patch_size": 14},
        ),
    ),
    "gemma3": (("vision_config", siglip, {"image_size": 896, "patch_size": 14}),),
    "glm4v": (
        (
            "vision_config",
            glm4v,
            {"depth": 24, "hidden_size": 1536, "out_hidden_size": 4096, "intermediate_size": 13_696, "image_size": 336}
            | {"patch_size": 14, "in_channels": 3, "temporal_patch_size": 2, "spatial_merge_size": 2},
        ),
    ),
    "internvl": (("vision_config", internvl, {"patch_size": 14, "image_size": 448}),),
    "muse_glimmer": (
        (
            "vision_config",
            muse_glimmer,
            {"hidden_size": 1536, "intermediate_size": 8960, "num_hidden_layers": 50, "projector_hidden_size": 4096}
            | {"patch_size": 14, "patch_temporal": 2, "merge_size": 2, "pos_emb_height": 32, "pos_emb_width": 32},
        ),
    ),
    "gemma4": (
        ("vision_config", gemma4, {"position_embedding_size": 10_240, "patch_size": 16}),
        (
            "audio_config",
            gemma4_audio,
            {"hidden_size": 1024, "num_hidden_layers": 12, "conv_kernel_size": 5, "output_proj_dims": 1536},
        ),
    ),
    "gemma4_unified": (
        (
            "vision_config",
            gemma4_unified,
            {"patch_size": 16, "pooling_kernel_size": 3, "mm_embed_dim": 3840, "mm_posemb_size": 1120},
        ),
        ("audio_config", gemma4_unified_audio, {"audio_embed_dim": 640}),
    ),
    "pixtral": (
        (
            "vision_config",
            pixtral,
            {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "patch_size": 14},
        ),
    ),
    "kimi_k25": (("vision_config", kimi_k25, _KIMI),),
    "kimi_k3": (("vision_config", kimi_k3, _KIMI),),
    "llama4": (("vision_config", llama4, {}),),
    "mllama": (
        (
            "vision_config",
            mllama,
            {"hidden_size": 1280, "num_hidden_layers": 32, "num_global_layers": 8, "intermediate_size": 5120}
            | {"vision_output_dim": 7680, "image_size": 448, "patch_size": 14, "num_channels": 3, "max_num_tiles": 4},
        ),
    ),
    "minimax_m3": (("vision_config", minimax_m3, {"patch_size": 14}),),
    "step3p7": (
        (
            "vision_config",
            step3p7,
            {"hidden_size": 1536, "intermediate_size": 8960, "num_hidden_layers": 47, "image_size": 728}
            | {"patch_size": 14},
        ),
    ),
}
"""Families of towers: section of the ``config.json``, formula, defaults."""


def tower_parameters(config: Fields, tower: str, text_hidden: int) -> int | None:
    """Parameters of all towers that the configuration has, None when it has none or ``tower`` is not known."""
    total = 0
    for name, formula, defaults in TOWERS.get(tower, ()):
        section = config.section(name)
        if section is not None:
            total += formula(Reading(section, text_hidden, defaults))
    return total or None
