"""Small text encoders with random weights, and tokenizers, for newer pipelines."""

from pathlib import Path
from typing import Any

import transformers
from tokenizers.pre_tokenizers import ByteLevel

from tests.tiny_pipelines import TEXT, Parts
from tests.unit.tiny_folders import write

#: A chat template that keeps only the text; contents may be lists of parts.
CHAT = (
    "{% for m in messages %}{% if m['content'] is string %}{{ m['content'] }}"
    "{% else %}{{ m['content'][0]['text'] }}{% endif %}{% endfor %}"
)


def make_gemma(parts: Parts) -> Any:
    config = transformers.Gemma2Config(
        vocab_size=300,
        hidden_size=TEXT,
        intermediate_size=TEXT,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=8,
    )
    return parts.randomize(transformers.Gemma2Model(config))


def _qwen3_config(layers: int) -> Any:
    return transformers.Qwen3Config(
        vocab_size=300,
        hidden_size=TEXT,
        intermediate_size=TEXT,
        num_hidden_layers=layers,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=8,
    )


def make_qwen3(parts: Parts, *, layers: int) -> Any:
    return parts.randomize(transformers.Qwen3ForCausalLM(_qwen3_config(layers)))


def make_qwen3_vl(parts: Parts, *, layers: int = 3) -> Any:
    config = transformers.Qwen3VLConfig(
        text_config={
            "vocab_size": 300,
            "hidden_size": TEXT,
            "intermediate_size": TEXT,
            "num_hidden_layers": layers,
            "num_attention_heads": 2,
            "num_key_value_heads": 2,
            "head_dim": 8,
            "rope_parameters": {
                "mrope_section": [2, 1, 1],
                "rope_type": "default",
                "rope_theta": 1000000.0,
            },
        },
        vision_config={
            "depth": 1,
            "hidden_size": TEXT,
            "intermediate_size": TEXT,
            "num_heads": 2,
            "out_hidden_size": TEXT,
            "deepstack_visual_indexes": [0],
        },
    )
    return parts.randomize(transformers.Qwen3VLModel(config))


def make_qwen_vl(parts: Parts) -> Any:
    config = transformers.Qwen2_5_VLConfig(
        text_config={
            "hidden_size": TEXT,
            "intermediate_size": TEXT,
            "num_hidden_layers": 3,
            "num_attention_heads": 2,
            "num_key_value_heads": 2,
            "vocab_size": 300,
            "rope_parameters": {
                "mrope_section": [1, 1, 2],
                "rope_type": "default",
                "rope_theta": 1000000.0,
            },
        },
        vision_config={
            "depth": 1,
            "hidden_size": TEXT,
            "intermediate_size": TEXT,
            "num_heads": 2,
            "out_hidden_size": TEXT,
        },
    )
    return parts.randomize(transformers.Qwen2_5_VLForConditionalGeneration(config))


def write_qwen_tokenizer(folder: Path) -> Any:
    """Write and load a tokenizer with bytes as tokens and a chat template."""
    marks = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
    words = [*sorted(ByteLevel.alphabet()), *marks]
    write(folder, "tokenizer/vocab.json", {w: place for place, w in enumerate(words)})
    write(folder, "tokenizer/merges.txt", "#version: 0.2\n")
    config = {
        "tokenizer_class": "Qwen2Tokenizer",
        "model_max_length": 4096,
        "pad_token": marks[0],
        "eos_token": marks[2],
        "unk_token": marks[0],
        "chat_template": CHAT,
    }
    write(folder, "tokenizer/tokenizer_config.json", config)
    return transformers.Qwen2Tokenizer.from_pretrained(folder / "tokenizer")
