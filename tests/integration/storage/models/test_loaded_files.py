"""What is counted as loaded, held against what diffusers and transformers load."""

import shutil
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

from producer.models.cards import describe
from storage.models.model_files import locate
from tests.opened import opened_below
from tests.unit.tiny_folders import SCHEDULER, write_tokenizer

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    torch = pytest.importorskip("torch")
    import diffusers
    import transformers

linux = pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux's")


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A Stable Diffusion pipeline with random weights, 32 channels wide."""
    tokenizer = tmp_path_factory.mktemp("tokenizer")
    write_tokenizer(tokenizer)
    text = transformers.CLIPTextConfig(
        hidden_size=32,
        intermediate_size=37,
        num_attention_heads=4,
        num_hidden_layers=2,
        vocab_size=520,
        eos_token_id=515,
    )
    return diffusers.StableDiffusionPipeline(
        unet=diffusers.UNet2DConditionModel(
            block_out_channels=(32, 64),
            layers_per_block=1,
            sample_size=8,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            cross_attention_dim=32,
        ),
        vae=diffusers.AutoencoderKL(
            block_out_channels=(32, 64),
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
            latent_channels=4,
        ),
        text_encoder=transformers.CLIPTextModel(text),
        tokenizer=transformers.CLIPTokenizer.from_pretrained(tokenizer),
        scheduler=diffusers.PNDMScheduler.from_config(SCHEDULER),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


@pytest.fixture(scope="module", params=["plain", "fp16", "shards", "fp16-shards"])
def folder(
    request: pytest.FixtureRequest, pipeline: Any, tmp_path_factory: Any
) -> tuple[Path, str | None]:
    """A saved pipeline, and the variant to load."""
    path: Path = tmp_path_factory.mktemp(request.param)
    variant = "fp16" if "fp16" in request.param else None
    size = "300KB" if "shards" in request.param else None
    pipeline.save_pretrained(path, variant=variant, max_shard_size=size)
    if variant:
        # Beside the variant, as on the Hub: saving there would remove its shards.
        pipeline.save_pretrained(path / "plain")
        shutil.copytree(path / "plain", path, dirs_exist_ok=True)
        shutil.rmtree(path / "plain")
    return path, variant


def load(folder: Path, variant: str | None) -> Any:
    return diffusers.DiffusionPipeline.from_pretrained(
        folder,
        variant=variant,
        use_safetensors=True,
        local_files_only=True,
        safety_checker=None,
        feature_extractor=None,
    )


def test_the_loaded_files_alone_are_a_whole_model(folder, tmp_path):
    path, variant = folder
    files = locate(str(path), variant=variant, download=True).files
    for file in files:
        (tmp_path / file).parent.mkdir(exist_ok=True)
        shutil.copy(path / file, tmp_path / file)
    whole, part = load(path, variant), load(tmp_path, variant)
    for name in ("unet", "vae", "text_encoder"):
        ours, theirs = (getattr(pipe, name).state_dict() for pipe in (part, whole))
        assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
    assert part.tokenizer("A cat").input_ids == whole.tokenizer("A cat").input_ids


@linux
def test_every_file_that_is_opened_is_counted(folder):
    path, variant = folder
    files = locate(str(path), variant=variant, download=True).files
    with opened_below(path) as opened:
        load(path, variant)
    assert {"model_index.json", "tokenizer/tokenizer.json"} < opened
    assert any(file.endswith(".safetensors") for file in opened)
    assert opened <= set(files)


@pytest.mark.parametrize(
    "text",
    ["", "a cat's dog", "Ünïcode, 日本 \U0001f98a!", "x<|endoftext|>y  \n z", "12 345"],
)
def test_tokens_are_counted_as_transformers_counts_them(folder, text):
    path, variant = folder
    tokenizer = transformers.CLIPTokenizer.from_pretrained(path / "tokenizer")
    card = describe(str(path), variant=variant, base_dir=Path("/"))
    assert card.count_tokens(text) == len(tokenizer(text).input_ids)


def test_vocab_and_merges_are_read_as_transformers_reads_them(folder, tmp_path):
    path = tmp_path / "sd"
    shutil.copytree(folder[0], path)
    shutil.rmtree(path / "tokenizer")
    write_tokenizer(path / "tokenizer")
    tokenizer = transformers.CLIPTokenizer.from_pretrained(path / "tokenizer")
    card = describe(str(path), variant=folder[1], base_dir=Path("/"))
    text = "Ünïcode, cat's 日本 \U0001f98a! 12 345 x<|endoftext|>y." * 9
    assert card.count_tokens(text) == len(tokenizer(text).input_ids)
    kept = text[: -len(card.truncated(text) or "")]
    assert card.count_tokens(kept) == 77
