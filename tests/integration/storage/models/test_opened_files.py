"""Every file that a family's classes open is one that the fingerprint is made over."""

import importlib
import inspect
import pkgutil
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from storage.models.components import INDEX, loaded_files
from storage.models.model_files import locate
from tests.opened import opened_below
from tests.unit.tiny_folders import write

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    pytest.importorskip("torch")
    import diffusers
    import transformers
    from diffusers.pipelines.kolors import text_encoder as kolors

    from tests import tiny_pipelines
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="inotify is Linux's own"
)

#: What may lie in the folder of a tokenizer, a processor or a text encoder.
BESIDE = {
    "added_tokens.json": {},
    "additional_chat_templates/tool_use.jinja": "{{ messages }}",
    "chat_template.jinja": "{{ messages }}",
    "config.json": {"model_type": "mistral", "transformers_version": "4.50.0"},
    "flax_model.msgpack": "junk",
    "generation_config.json": {},
    "merges.txt": "#version: 0.2\n",
    "normalizer.json": {},
    "preprocessor_config.json": {},
    "processor_config.json": {},
    "pytorch_model.bin": "junk",
    "README.md": "# A model",
    "special_tokens_map.json": {},
    "tokenization_own.py": "raise SystemExit",
    "tokenizer.4.0.0.json": {},
    "video_preprocessor_config.json": {},
    "vocab.json": {"a": 0},
    "vocab.txt": "a\n",
}
TINY = {
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "vocab_size": 32,
}
TOKENIZERS = (
    *("BertTokenizer", "ByT5Tokenizer", "CLIPTokenizer", "GPT2Tokenizer"),
    *("GemmaTokenizer", "LlamaTokenizer", "Qwen2Tokenizer", "RobertaTokenizer"),
    *("T5Tokenizer", "WhisperTokenizer", "XLMRobertaTokenizer"),
)
#: Text encoders and their configs; some can write text, too.
ENCODERS: dict[str, Any] = {
    "BertModel": lambda: transformers.BertConfig(**TINY),
    "CLIPTextModel": lambda: transformers.CLIPTextConfig(**TINY),
    "Gemma2Model": lambda: transformers.Gemma2Config(**TINY),
    "LlamaForCausalLM": lambda: transformers.LlamaConfig(**TINY),
    "Qwen2ForCausalLM": lambda: transformers.Qwen2Config(**TINY),
    "Qwen3Model": lambda: transformers.Qwen3Config(**TINY),
    "T5EncoderModel": lambda: transformers.T5Config(
        d_model=16, d_ff=16, d_kv=8, num_layers=1, num_heads=2, vocab_size=32
    ),
}


def counted(folder: Path, kind: tuple[str, str]) -> set[str]:
    """Return the files of a component that the fingerprint is made over."""
    paths = [
        f"part/{file.relative_to(folder).as_posix()}"
        for file in folder.rglob("*")
        if file.is_file()
    ]
    index = {"_class_name": "AnyPipeline", "part": list(kind)}
    files = loaded_files([INDEX, *paths], index, variant=None)
    return {file.removeprefix("part/") for file in files} - {INDEX}


def check(folder: Path, library: str, loaded: type[Any]) -> set[str]:
    """Load a component with all that may lie beside it; return what was opened."""
    for name, content in BESIDE.items():
        if not (folder / name).exists():
            write(folder, name, content)
    with opened_below(folder) as opened:
        loaded.from_pretrained(folder, local_files_only=True)
    assert opened
    assert opened <= counted(folder, (library, loaded.__name__))
    return opened


@pytest.mark.parametrize("name", TOKENIZERS)
def test_what_a_tokenizer_opens_is_counted(tmp_path: Path, name: str) -> None:
    kind = getattr(transformers, name)
    kind().save_pretrained(tmp_path)
    opened = check(tmp_path, "transformers", kind)
    assert {"chat_template.jinja", "additional_chat_templates/tool_use.jinja"} < opened


def test_what_a_tokenizer_of_many_versions_opens_is_counted(tmp_path: Path) -> None:
    kind = transformers.CLIPTokenizer
    kind().save_pretrained(tmp_path)
    (tmp_path / "tokenizer.json").rename(tmp_path / "tokenizer.4.0.0.json")
    config = {"fast_tokenizer_files": ["tokenizer.4.0.0.json"]}
    write(tmp_path, "tokenizer_config.json", config)
    assert "tokenizer.4.0.0.json" in check(tmp_path, "transformers", kind)


def test_what_a_tokenizer_without_a_whole_file_opens_is_counted(
    tmp_path: Path,
) -> None:
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "cat"]
    write(tmp_path, "vocab.txt", "\n".join(words))
    write(tmp_path, "tokenizer_config.json", {})
    assert "vocab.txt" in check(tmp_path, "transformers", transformers.BertTokenizer)


# transformers leaves a template open.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_what_a_processor_opens_is_counted(tmp_path: Path) -> None:
    images = transformers.CLIPImageProcessor()
    images.save_pretrained(tmp_path / "images")
    check(tmp_path / "images", "transformers", type(images))
    both = transformers.CLIPProcessor(
        image_processor=images, tokenizer=transformers.CLIPTokenizer()
    )
    both.save_pretrained(tmp_path / "both")
    opened = check(tmp_path / "both", "transformers", transformers.CLIPProcessor)
    assert "processor_config.json" in opened


@pytest.mark.parametrize("name", ENCODERS)
def test_what_a_text_encoder_opens_is_counted(tmp_path: Path, name: str) -> None:
    kind = getattr(transformers, name)
    kind(ENCODERS[name]()).save_pretrained(tmp_path)
    opened = check(tmp_path, "transformers", kind)
    assert {"config.json", "model.safetensors"} <= opened
    assert ("generation_config.json" in opened) == kind.can_generate()


def test_what_the_text_encoder_of_kolors_opens_is_counted(tmp_path: Path) -> None:
    config = kolors.ChatGLMConfig(
        num_layers=1,
        padded_vocab_size=32,
        hidden_size=16,
        ffn_hidden_size=16,
        kv_channels=8,
        num_attention_heads=2,
        multi_query_group_num=1,
        original_rope=True,
    )
    kolors.ChatGLMModel(config).save_pretrained(tmp_path)
    assert "model.safetensors" in check(tmp_path, "kolors", kolors.ChatGLMModel)


def test_what_a_guider_opens_is_counted(tmp_path: Path) -> None:
    kind = diffusers.AdaptiveProjectedMixGuidance
    kind().save_pretrained(tmp_path)
    assert check(tmp_path, "diffusers", kind) == {"guider_config.json"}


@pytest.mark.parametrize(
    "make",
    [
        tiny_pipelines.make_sdxl,
        tiny_pipelines.make_sd3,
        lambda folder: tiny_pipelines.make_flux(folder, embeds_guidance=True),
    ],
    ids=["sdxl", "sd3", "flux"],
)
def test_what_a_pipeline_opens_is_counted(
    tmp_path: Path, make: Callable[[Path], Path]
) -> None:
    folder = make(tmp_path / "model")
    with opened_below(folder) as opened:
        diffusers.DiffusionPipeline.from_pretrained(
            folder, use_safetensors=True, local_files_only=True
        )
    assert INDEX in opened
    assert opened <= set(locate(str(folder), download=True).files)


def test_every_vocabulary_file_of_transformers_is_of_a_kind_that_counts() -> None:
    found: set[str] = set()
    classes = 0
    for module in pkgutil.iter_modules(transformers.models.__path__):
        name = f"transformers.models.{module.name}.tokenization_{module.name}"
        try:
            loaded = importlib.import_module(name)
        except (ImportError, NameError):  # no such module, or a package is not there
            continue
        for _, kind in inspect.getmembers(loaded, inspect.isclass):
            if issubclass(kind, PreTrainedTokenizerBase):
                classes += 1
                found.update((kind.vocab_files_names or {}).values())
    assert classes > 50
    paths = [f"part/{name}" for name in found]
    index = {"_class_name": "AnyPipeline", "part": ["transformers", "AnyTokenizer"]}
    assert set(loaded_files(paths, index, variant=None)) == {INDEX, *paths}
