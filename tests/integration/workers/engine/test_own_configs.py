"""The configurations that single files need none beside are those of real models."""

import gc
import hashlib
import shutil
from functools import partial
from pathlib import Path

import diffusers
import pytest
import torch
import transformers

from storage.models.components import read_components
from storage.models.located import read_json
from storage.models.single_files import OWN_CONFIGS
from tests.batches import make_job
from tests.single_files import write_sd
from tests.work import paint
from tests.written_scripts import make_painter, run_script

#: What diffusers and transformers say of models with random weights.
pytestmark = [
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.usefixtures("one_thread"),
]

#: Parameters of the published networks.
SIZES = {
    "sd1": (859_520_964, 83_653_863, 123_060_480),
    "sd2": (865_910_724, 83_653_863, 340_387_840),
    "sd2-v": (865_910_724, 83_653_863, 340_387_840),
    "sdxl": (2_567_463_684, 83_653_863, 123_060_480, 694_659_840),
}


@pytest.mark.parametrize("config", SIZES)
def test_our_own_configurations_are_of_the_published_networks(config: str) -> None:
    folder = OWN_CONFIGS / config
    with torch.device("meta"):
        networks = [
            diffusers.UNet2DConditionModel.from_config(folder / "unet"),
            diffusers.AutoencoderKL.from_config(folder / "vae"),
        ]
        kinds = read_components(read_json(folder / "model_index.json"))
        for part in sorted(kinds):
            if part.startswith("text_encoder"):
                kind = getattr(transformers, kinds[part][1])
                own = transformers.CLIPTextConfig.from_pretrained(folder / part)
                networks.append(kind(own))
    sizes = tuple(sum(each.numel() for each in n.parameters()) for n in networks)
    assert sizes == SIZES[config]


@pytest.mark.slow
def test_a_file_of_the_published_size_needs_no_config(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_published_sd(tmp_path / "model")
    file = write_sd(folder, tmp_path / "x.safetensors")
    shutil.rmtree(folder)
    job = make_job("ddim", model=str(file), steps=1)
    [made] = paint(make_painter(tmp_path), job)
    gc.collect()  # the networks take 4 GB
    script = run_script(job, tmp_path, monkeypatch)
    assert made.image.tobytes() == script.tobytes()
    assert "from_single_file" in (tmp_path / "script.py").read_text()


def make_published_sd(folder: Path) -> Path:
    """Save random weights for our own configuration of Stable Diffusion 1."""
    own, seed = OWN_CONFIGS / "sd1", torch.Generator().manual_seed(8)
    config = transformers.CLIPTextConfig.from_pretrained(own / "text_encoder")
    for part, make in {
        "unet": partial(diffusers.UNet2DConditionModel.from_config, own / "unet"),
        "vae": partial(diffusers.AutoencoderKL.from_config, own / "vae"),
        "text_encoder": partial(transformers.CLIPTextModel, config),
    }.items():
        network = make().bfloat16()
        for weight in network.parameters():
            if weight.ndim > 1:
                torch.nn.init.xavier_normal_(weight, generator=seed)
        network.save_pretrained(folder / part)
    return folder


def test_our_own_tokenizers_are_those_of_clip() -> None:
    for file in OWN_CONFIGS.glob("*/tokenizer*"):
        tokenizer = transformers.CLIPTokenizer.from_pretrained(file)
        asked = tokenizer("a photo of a cat", padding="max_length", max_length=9)
        end = tokenizer.convert_tokens_to_ids(tokenizer.pad_token)
        assert end in (0, 49407)
        assert asked.input_ids == [49406, 320, 1125, 539, 320, 2368, 49407, end, end]
        assert tokenizer.model_max_length == 77
    # The content that CLIP was published with.
    merges = (OWN_CONFIGS / "clip/merges.txt").read_bytes()
    assert hashlib.sha256(merges).hexdigest() == (
        "9fd691f7c8039210e0fced15865466c65820d09b63988b0174bfe25de299051a"
    )
