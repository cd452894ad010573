import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from producer.models.cards import ModelCard, describe
from storage.catalogue.schedulers import resolve
from storage.errors import ModelError
from storage.models import model_files as models
from storage.models.fingerprint import Digests
from tests.unit.tiny_folders import (
    INDEX,
    SCHEDULER,
    UNET,
    VAE,
    make_folder,
    weights,
    write,
    write_flax_folder,
    write_tokenizer,
)


def make_card(folder: Path, **index: Any) -> ModelCard:
    make_folder(folder / "sd", index=index)
    return describe("./sd", base_dir=folder)


def make_transformer(folder: Path, pipeline_class: str, **config: Any) -> ModelCard:
    write(folder, "sd/transformer/config.json", config)
    write(folder, "sd/transformer/diffusion_pytorch_model.safetensors", weights("t"))
    return make_card(
        folder,
        _class_name=pipeline_class,
        unet=[None, None],
        transformer=["diffusers", "SomeTransformer2DModel"],
    )


def test_a_card_says_what_the_folder_says(tmp_path):
    card = make_card(tmp_path)
    assert card.model.name == str((tmp_path / "sd").resolve())
    assert card.model.family == "sd"
    assert not card.model.embeds_guidance
    assert card.pipeline_class == "StableDiffusionPipeline"
    assert card.scheduler_class == "PNDMScheduler"
    assert card.scheduler_config == SCHEDULER
    assert (card.width, card.height, card.factor) == (512, 512, 8)
    assert (card.dtype_default, card.guidance_default) == ("float16", 7.5)
    assert card.unchecked == ()


def test_a_folder_that_flax_saved_has_the_names_of_torch(tmp_path):
    write_flax_folder(tmp_path / "sd")
    card = describe("./sd", base_dir=tmp_path)
    assert card.saved_by_flax
    assert card.model.family == "sd"
    assert card.model.pipeline == card.pipeline_class == "StableDiffusionPipeline"
    assert card.scheduler_class == "PNDMScheduler"
    assert card.scheduler_config == SCHEDULER
    assert not make_card(tmp_path / "torch").saved_by_flax


def test_the_size_in_bytes_is_that_of_the_loaded_files(tmp_path):
    card = make_card(tmp_path)
    unet = tmp_path / "sd/unet/diffusion_pytorch_model.safetensors"
    unet.write_bytes(unet.read_bytes() + b"12345")
    assert describe("./sd", base_dir=tmp_path).size_bytes == card.size_bytes + 5


def test_the_builtin_model_has_its_own_defaults(tmp_path, monkeypatch):
    folder = make_folder(tmp_path)
    write(folder, "unet/config.json", UNET | {"sample_size": 8})
    monkeypatch.setattr(models, "BUILTIN_FOLDERS", {"builtin:shapes": folder})
    card = describe("builtin:shapes", base_dir=Path("/"))
    assert card.model.name == "builtin:shapes"
    assert (card.width, card.height) == (64, 64)
    assert (card.dtype_default, card.guidance_default) == ("float32", 2.5)


@pytest.mark.parametrize(
    ("pipeline_class", "config", "expected"),
    [
        ("StableDiffusion3Pipeline", {"sample_size": 128}, ("bfloat16", 28, 3.5)),
        ("FluxPipeline", {"guidance_embeds": True}, ("bfloat16", 28, 3.5)),
        ("FluxPipeline", {"guidance_embeds": False}, ("bfloat16", 4, 1.0)),
        ("Flux2Pipeline", {}, ("bfloat16", 50, 4.0)),
        ("QwenImagePipeline", {"guidance_embeds": False}, ("bfloat16", 50, 1.0)),
        ("ZImagePipeline", {}, ("bfloat16", 50, 5.0)),
        ("LuminaPipeline", {}, ("float16", 20, 7.5)),
    ],
)
def test_a_spec_that_says_nothing_gets_what_the_family_wants(
    tmp_path, pipeline_class, config, expected
):
    card = make_transformer(tmp_path, pipeline_class, **config)
    assert (card.dtype_default, card.steps_default, card.guidance_default) == expected


@pytest.mark.parametrize(
    ("pipeline_class", "is_distilled", "expected"),
    [
        ("Flux2KleinPipeline", False, (50, 4.0)),
        ("Flux2KleinPipeline", True, (4, 1.0)),
        ("Krea2Pipeline", False, (28, 4.5)),
        ("Krea2Pipeline", True, (8, 0.0)),
    ],
)
def test_a_model_that_says_that_it_is_distilled_gets_few_steps_and_no_guidance(
    tmp_path, pipeline_class, is_distilled, expected
):
    make_transformer(tmp_path, pipeline_class)
    card = make_card(
        tmp_path,
        _class_name=pipeline_class,
        unet=[None, None],
        transformer=["diffusers", "SomeTransformer2DModel"],
        is_distilled=is_distilled,
    )
    assert (card.steps_default, card.guidance_default) == expected
    assert (card.distilled == "it says so") is is_distilled


@pytest.mark.parametrize(
    ("unet", "expected"), [({}, (4, 1.0)), ({"time_cond_proj_dim": 256}, (4, 8.0))]
)
def test_a_scheduler_for_few_steps_tells_a_distilled_model(tmp_path, unet, expected):
    make_card(tmp_path)
    write(tmp_path, "sd/unet/config.json", UNET | unet)
    write(
        tmp_path,
        "sd/model_index.json",
        INDEX | {"scheduler": ["diffusers", "LCMScheduler"]},
    )
    card = describe("./sd", base_dir=tmp_path)
    assert (card.steps_default, card.guidance_default) == expected
    assert card.distilled == "it says so"


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("sdxl-turbo", "its name says turbo"),
        ("SDXL-Lightning", "its name says lightning"),
        ("Hyper-SD", "its name says hyper"),
        ("hyperrealism", None),
        ("sd", None),
    ],
)
def test_a_name_may_tell_a_distilled_model_and_changes_no_default(tmp_path, name, why):
    make_folder(tmp_path / name)
    card = describe(f"./{name}", base_dir=tmp_path)
    assert card.distilled == why
    assert (card.steps_default, card.guidance_default) == (20, 7.5)


@pytest.mark.parametrize("key", ["dtype", "torch_dtype"])
def test_an_untried_pipeline_has_the_precision_that_its_text_encoder_states(
    tmp_path, key
):
    make_card(tmp_path, _class_name="LuminaPipeline")
    write(tmp_path, "sd/text_encoder/config.json", {key: "bfloat16"})
    assert describe("./sd", base_dir=tmp_path).dtype_default == "bfloat16"


@pytest.mark.parametrize(
    ("vae", "factor"),
    [
        ({"block_out_channels": [8] * 4}, 16),
        ({"temperal_downsample": [False, True, True]}, 16),
        ({"temperal_downsample": [False, True, True, True]}, 32),
        ({"spatial_compression_ratio": 32, "block_out_channels": [8] * 6}, 64),
    ],
)
def test_sides_are_multiples_of_the_patches_of_latents(tmp_path, vae, factor):
    make_transformer(tmp_path, "QwenImagePipeline")
    write(tmp_path, "sd/vae/config.json", vae)
    card = describe("./sd", base_dir=tmp_path)
    assert (card.width, card.height, card.factor) == (1024, 1024, factor)


def test_clip_skip_is_refused_where_the_pipeline_has_no_such_input(tmp_path):
    card = make_transformer(tmp_path, "FluxPipeline")
    assert card.check_clip_skip(0) == []
    assert card.check_clip_skip(1) == [
        "clip_skip must be 0 for a FluxPipeline, which has no such input, got 1; "
        "leave it out"
    ]


@pytest.mark.parametrize(
    ("pipeline_class", "family"),
    [
        ("StableDiffusionPipeline", "sd"),
        ("StableDiffusionXLPipeline", "sdxl"),
        ("StableDiffusionPAGPipeline", "other"),
    ],
)
def test_the_family_comes_from_the_pipeline_class(tmp_path, pipeline_class, family):
    assert make_card(tmp_path, _class_name=pipeline_class).model.family == family


def test_sd3_states_its_size_and_needs_a_multiple_of_its_patches(tmp_path):
    card = make_transformer(
        tmp_path, "StableDiffusion3Pipeline", sample_size=128, patch_size=2
    )
    assert card.model.family == "sd3"
    assert (card.width, card.height, card.factor) == (1024, 1024, 16)
    assert card.unchecked == ("the length of prompts is checked for CLIP, not for T5",)


def test_flux_takes_1024_pixels_and_may_embed_guidance(tmp_path):
    card = make_transformer(tmp_path, "FluxPipeline", guidance_embeds=True)
    assert (card.model.family, card.model.embeds_guidance) == ("flux", True)
    assert (card.width, card.height, card.factor) == (1024, 1024, 16)


def test_a_flux_that_does_not_embed_guidance_says_so(tmp_path):
    card = make_transformer(tmp_path, "FluxPipeline", guidance_embeds=False)
    assert not card.model.embeds_guidance


def test_a_distilled_unet_embeds_guidance(tmp_path):
    make_card(tmp_path)
    write(tmp_path, "sd/unet/config.json", UNET | {"time_cond_proj_dim": 256})
    assert describe("./sd", base_dir=tmp_path).model.embeds_guidance


def test_a_native_size_may_be_a_pair_of_height_and_width(tmp_path):
    make_card(tmp_path)
    write(tmp_path, "sd/unet/config.json", UNET | {"sample_size": [64, 96]})
    card = describe("./sd", base_dir=tmp_path)
    assert (card.width, card.height) == (768, 512)


def test_a_size_that_is_not_stated_is_reported_as_unchecked(tmp_path):
    make_card(tmp_path)
    write(tmp_path, "sd/unet/config.json", {})
    card = describe("./sd", base_dir=tmp_path)
    assert (card.width, card.height) == (512, 512)
    assert card.unchecked == ("the native size is not stated, 512 pixels are used",)


def test_a_deeper_vae_asks_for_a_larger_factor(tmp_path):
    make_card(tmp_path)
    write(tmp_path, "sd/vae/config.json", VAE | {"block_out_channels": [32] * 5})
    assert describe("./sd", base_dir=tmp_path).factor == 16


def test_a_model_without_a_scheduler_is_refused(tmp_path):
    with pytest.raises(ModelError, match="must have a scheduler"):
        make_card(tmp_path, scheduler=[None, None])


def test_the_variant_is_part_of_the_model(tmp_path):
    make_card(tmp_path)
    fp16 = "sd/unet/diffusion_pytorch_model.fp16.safetensors"
    write(tmp_path, fp16, weights("half"))
    plain = describe("./sd", base_dir=tmp_path).model
    half = describe("./sd", variant="fp16", base_dir=tmp_path).model
    assert half.variant == "fp16"
    assert half.fingerprint != plain.fingerprint


def test_a_plan_leaves_the_memory_of_digests_alone(tmp_path):
    memory = tmp_path / "digests.json"
    make_folder(tmp_path / "sd")
    digests = Digests(memory, readonly=True)
    describe("./sd", base_dir=tmp_path, digests=digests)
    assert not memory.exists()


@pytest.mark.parametrize("side", [8, 512, 520, 8192])
def test_a_size_that_fits_is_silent(tmp_path, side):
    assert make_card(tmp_path).check_size(side, side) == []


@pytest.mark.parametrize(
    ("height", "sentence"),
    [
        (515, "`height` has to be divisible by 8 but is 515; use 512 or 520"),
        (3, "`height` has to be divisible by 8 but is 3; use 8"),
        (0, "`height` has to be 8 to 8192 pixels but is 0; use a multiple of 8 within"),
        (
            8200,
            "`height` has to be 8 to 8192 pixels but is 8200;"
            " use a multiple of 8 within",
        ),
    ],
)
def test_a_size_that_does_not_fit_gets_a_sentence(tmp_path, height, sentence):
    assert make_card(tmp_path).check_size(512, height) == [sentence]


def test_both_sides_are_checked(tmp_path):
    assert len(make_card(tmp_path).check_size(-8, 515)) == 2


def test_tokens_are_counted_with_the_marks_at_both_ends(tmp_path):
    # A letter is a token in the tiny vocabulary, but for "cat" and "ca".
    card = make_card(tmp_path)
    assert [card.count_tokens(text) for text in ("", "cat", "A  CAT", "dog")] == [
        2,
        3,
        4,
        5,
    ]


def test_a_prompt_within_the_limit_loses_nothing(tmp_path):
    card = make_card(tmp_path)
    text = "cat " * 75
    assert card.count_tokens(text) == 77
    assert card.truncated(text) is None
    assert card.warn_of_cut(text) is None


def test_what_falls_off_is_the_text_beyond_the_limit(tmp_path):
    card = make_card(tmp_path)
    assert card.truncated("cat " * 75 + "Last  Words") == "Last  Words"
    assert card.warn_of_cut("cat " * 75 + "Cat") == (
        'CLIP reads 77 tokens of a prompt but this has 78; what is cut off: "Cat"'
    )


def test_what_falls_off_is_told_on_one_line_and_shortened(tmp_path):
    warning = make_card(tmp_path).warn_of_cut("cat " * 75 + "it's\n" + "cat " * 50)
    assert warning is not None
    assert "what is cut off: \"it's cat cat" in warning
    assert len(warning.partition("off: ")[2]) == 63


@pytest.mark.parametrize(
    ("name", "most"),
    [("StableDiffusionPipeline", 12), ("StableDiffusionXLPipeline", 11)],
)
def test_clip_skip_goes_as_far_as_the_text_encoder_has_layers(tmp_path, name, most):
    make_card(tmp_path, _class_name=name)
    write(tmp_path, "sd/text_encoder/config.json", {"num_hidden_layers": 12})
    card = describe("./sd", base_dir=tmp_path)
    assert card.check_clip_skip(most) == []
    assert card.check_clip_skip(most + 1) == [
        f"clip_skip must be 0 to {most} for a text encoder of 12 layers, "
        f"got {most + 1}; lower it"
    ]


def test_clip_skip_is_not_checked_where_the_layers_are_not_stated(tmp_path):
    assert make_card(tmp_path).check_clip_skip(12) == []


def test_for_sd3_it_is_clip_alone_that_cuts(tmp_path):
    card = make_transformer(tmp_path, "StableDiffusion3Pipeline", sample_size=64)
    warning = card.warn_of_cut("cat " * 80)
    assert warning is not None
    assert warning.startswith("CLIP, though not T5, reads 77 tokens")


@pytest.mark.parametrize("stated", [{}, {"model_max_length": 10**30}])
def test_a_tokenizer_without_a_limit_has_that_of_clip(tmp_path, stated):
    card = make_card(tmp_path)
    write(tmp_path, "sd/tokenizer/tokenizer_config.json", stated)
    assert card.tokens is not None
    assert card.tokens.limit == 77


def test_a_stated_limit_is_kept(tmp_path):
    card = make_card(tmp_path)
    write_tokenizer(tmp_path / "sd/tokenizer", limit=5)
    assert card.truncated("cat cat cat cat cat") == "cat cat"


def test_tokenizer_json_and_vocab_with_merges_count_alike(tmp_path):
    card = make_card(tmp_path)
    assert card.tokens is not None
    made = card.tokens._tokenizer
    made.enable_truncation(max_length=4)
    made.save(str(tmp_path / "sd/tokenizer/tokenizer.json"))
    again = describe("./sd", base_dir=tmp_path)
    text = "A cat, and a cat's dog. " * 9
    made.no_truncation()
    assert again.count_tokens(text) == card.count_tokens(text)
    assert again.truncated(text) == card.truncated(text)


def test_a_damaged_tokenizer_is_a_model_error(tmp_path):
    card = make_card(tmp_path)
    write(tmp_path, "sd/tokenizer/vocab.json", "{}")
    with pytest.raises(ModelError, match="must hold a CLIP tokenizer"):
        card.count_tokens("cat")


def test_a_model_without_clip_counts_nothing_and_says_so(tmp_path):
    card = make_card(tmp_path, tokenizer=["transformers", "T5TokenizerFast"])
    assert card.count_tokens("cat") is None
    assert card.truncated("cat " * 99) is None
    assert card.warn_of_cut("cat " * 99) is None
    assert card.unchecked == (
        "the length of prompts is not checked: no CLIP tokenizer",
    )


def test_importing_the_module_imports_nothing_heavy():
    code = (
        "import sys, producer.models.cards\n"
        "heavy = {'huggingface_hub', 'tokenizers', 'torch', 'httpx', 'sqlalchemy'}\n"
        "sys.exit(' '.join(heavy & set(sys.modules)) or None)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    "name",
    [
        *("StableDiffusionImg2ImgPipeline", "StableDiffusionInpaintPipeline"),
        *("StableDiffusionXLControlNetPipeline", "FluxKontextPipeline"),
    ],
)
def test_a_pipeline_that_needs_an_image_is_refused(tmp_path, name):
    with pytest.raises(ModelError) as raised:
        make_card(tmp_path, _class_name=name)
    assert str(raised.value) == (
        f"a model must make images from text alone, got a {name}, which begins with "
        "more than a text; name a text-to-image model"
    )


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("MyFancyPipeline", "got MyFancyPipeline; name another model"),
        ("StableDifusionPipeline", "did you mean StableDiffusionPipeline in its"),
    ],
)
def test_a_pipeline_that_diffusers_does_not_have_is_refused(tmp_path, name, hint):
    with pytest.raises(ModelError, match="of diffusers that makes images") as raised:
        make_card(tmp_path, _class_name=name)
    assert hint in str(raised.value)


def test_a_model_whose_own_scheduler_diffusers_does_not_have_is_refused(tmp_path):
    with pytest.raises(ModelError, match=r"got MyScheduler in its model_index\.json"):
        make_card(tmp_path, scheduler=["diffusers", "MyScheduler"])
    with pytest.raises(ModelError, match=r"did you mean DDIMScheduler\?"):
        make_card(tmp_path, scheduler=["diffusers", "DDIMsScheduler"])


def test_a_consistency_pipeline_takes_schedulers_for_it_alone(tmp_path):
    card = make_card(tmp_path, _class_name="LatentConsistencyModelPipeline")
    assert card.check_scheduler(resolve("lcm")) == []
    assert card.check_scheduler(resolve("tcd")) == []
    (said,) = card.check_scheduler(resolve("ddim"))
    assert "takes original_inference_steps, got DDIMScheduler; use lcm or tcd" in said
