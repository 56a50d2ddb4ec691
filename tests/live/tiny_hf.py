"""A tiny random Llama with tokenizer, chat template and one LoRA adapter, made on the spot: `tiny_hf.py FOLDER`.

Runs in the environment of vLLM's CPU server, which has torch and transformers. Nothing is downloaded.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

HIDDEN, HEADS, KV_HEADS, LAYERS, CONTEXT = 256, 4, 2, 2, 32768
RANK = 8
SPECIAL = ["<s>", "</s>", "<unk>", "<pad>"]
CHAT = (
    "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)


def tokenizer(folder: Path) -> int:
    """Bytes as tokens; returns how many there are."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: index for index, word in enumerate([*SPECIAL, *sorted(pre_tokenizers.ByteLevel.alphabet())])}
    bytewise = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>"))
    bytewise.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bytewise.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=bytewise, bos_token="<s>", eos_token="</s>", unk_token="<unk>", pad_token="<pad>"
    )
    fast.chat_template = CHAT
    fast.model_max_length = CONTEXT
    fast.save_pretrained(folder)
    return len(vocabulary)


def model(folder: Path, words: int) -> None:
    """Random weights in bfloat16."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    shape = LlamaConfig(
        vocab_size=words + (-words) % 64,
        hidden_size=HIDDEN,
        intermediate_size=2 * HIDDEN,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=KV_HEADS,
        head_dim=HIDDEN // HEADS,
        max_position_embeddings=CONTEXT,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=3,
        tie_word_embeddings=False,
    )
    LlamaForCausalLM(shape).to(torch.bfloat16).save_pretrained(folder)


def adapter(folder: Path) -> None:
    """A LoRA of the query projections, strong enough to change what is said."""
    import torch
    from safetensors.torch import save_file

    folder.mkdir()
    settings = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": RANK,
        "lora_alpha": 64,
        "target_modules": ["q_proj", "v_proj"],
    }
    (folder / "adapter_config.json").write_text(json.dumps({**settings, "bias": "none", "lora_dropout": 0.0}))
    torch.manual_seed(1)
    weights = {}
    for layer in range(LAYERS):
        for name, width in (("q_proj", HIDDEN), ("v_proj", HIDDEN * KV_HEADS // HEADS)):
            at = f"base_model.model.model.layers.{layer}.self_attn.{name}"
            weights[f"{at}.lora_A.weight"] = torch.randn(RANK, HIDDEN).to(torch.bfloat16)
            weights[f"{at}.lora_B.weight"] = torch.randn(width, RANK).to(torch.bfloat16)
    save_file(weights, folder / "adapter_model.safetensors")


if __name__ == "__main__":
    made = Path(sys.argv[1])
    model(made, tokenizer(made))
    adapter(made / "adapter")
