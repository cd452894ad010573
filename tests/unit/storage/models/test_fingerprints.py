"""Fingerprints of folders as the Hub has them: what is in them, frozen for ever."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from producer.models.cards import describe
from storage.errors import FingerprintError, ModelError
from storage.models.components import first_version, loaded_files
from storage.models.fingerprint import Digests, fingerprints, verify
from storage.models.model_files import locate
from tests.builders import make_job
from tests.unit.tiny_folders import INDEX, make_folder, weights, write

CLIP = ("merges.txt", "special_tokens_map.json", "tokenizer_config.json", "vocab.json")
T5 = ("special_tokens_map.json", "spiece.model", "tokenizer.json")
T5 = (*T5, "tokenizer_config.json")
TEXT = ("config.json", "model.safetensors")
NETWORK = ("config.json", "diffusion_pytorch_model.safetensors")
SHARDED = ("config.json", "diffusion_pytorch_model.safetensors.index.json")
SHARDED = (
    *SHARDED,
    *(f"diffusion_pytorch_model-0000{n}-of-00002.safetensors" for n in (1, 2)),
)
QWEN = ("added_tokens.json", "merges.txt", "special_tokens_map.json")
QWEN = (*QWEN, "tokenizer_config.json", "vocab.json")
SCHEDULED = ("scheduler_config.json",)

#: By family: the pipeline, and for each component its library, class and files.
FAMILIES: Mapping[str, tuple[str, Mapping[str, tuple[str, str, tuple[str, ...]]]]] = {
    "sd": (
        "StableDiffusionPipeline",
        {
            "scheduler": ("diffusers", "PNDMScheduler", SCHEDULED),
            "text_encoder": ("transformers", "CLIPTextModel", TEXT),
            "tokenizer": ("transformers", "CLIPTokenizer", CLIP),
            "unet": ("diffusers", "UNet2DConditionModel", NETWORK),
            "vae": ("diffusers", "AutoencoderKL", NETWORK),
        },
    ),
    "sdxl": (
        "StableDiffusionXLPipeline",
        {
            "scheduler": ("diffusers", "EulerDiscreteScheduler", SCHEDULED),
            "text_encoder": ("transformers", "CLIPTextModel", TEXT),
            "text_encoder_2": ("transformers", "CLIPTextModelWithProjection", TEXT),
            "tokenizer": ("transformers", "CLIPTokenizer", CLIP),
            "tokenizer_2": ("transformers", "CLIPTokenizer", CLIP),
            "unet": ("diffusers", "UNet2DConditionModel", NETWORK),
            "vae": ("diffusers", "AutoencoderKL", NETWORK),
        },
    ),
    "sd3": (
        "StableDiffusion3Pipeline",
        {
            "scheduler": ("diffusers", "FlowMatchEulerDiscreteScheduler", SCHEDULED),
            "text_encoder": ("transformers", "CLIPTextModelWithProjection", TEXT),
            "text_encoder_2": ("transformers", "CLIPTextModelWithProjection", TEXT),
            "text_encoder_3": ("transformers", "T5EncoderModel", TEXT),
            "tokenizer": ("transformers", "CLIPTokenizer", CLIP),
            "tokenizer_2": ("transformers", "CLIPTokenizer", CLIP),
            "tokenizer_3": ("transformers", "T5TokenizerFast", T5),
            "transformer": ("diffusers", "SD3Transformer2DModel", NETWORK),
            "vae": ("diffusers", "AutoencoderKL", NETWORK),
        },
    ),
    "flux": (
        "FluxPipeline",
        {
            "scheduler": ("diffusers", "FlowMatchEulerDiscreteScheduler", SCHEDULED),
            "text_encoder": ("transformers", "CLIPTextModel", TEXT),
            "text_encoder_2": ("transformers", "T5EncoderModel", TEXT),
            "tokenizer": ("transformers", "CLIPTokenizer", CLIP),
            "tokenizer_2": ("transformers", "T5TokenizerFast", T5),
            "transformer": ("diffusers", "FluxTransformer2DModel", SHARDED),
            "vae": ("diffusers", "AutoencoderKL", NETWORK),
        },
    ),
    "qwen": (
        "QwenImagePipeline",
        {
            "scheduler": ("diffusers", "FlowMatchEulerDiscreteScheduler", SCHEDULED),
            "text_encoder": (
                "transformers",
                "Qwen2_5_VLForConditionalGeneration",
                (*TEXT, "generation_config.json"),
            ),
            "tokenizer": (
                "transformers",
                "Qwen2Tokenizer",
                (*QWEN, "chat_template.jinja"),
            ),
            "transformer": ("diffusers", "QwenImageTransformer2DModel", SHARDED),
            "vae": ("diffusers", "AutoencoderKLQwenImage", NETWORK),
        },
    ),
}
#: What the folders of `FAMILIES` give: the fingerprint, and the former one.
GOLDEN = {
    "sd": ("6848cc70461ab1ebc48f044ee34df541", None),
    "sdxl": ("fe2a9f5032d178152863a5de5b715a64", None),
    "sd3": ("91f94080d2c205857d5aa679c221b3b0", None),
    "flux": ("1c4d205b0e32795c7bc2a4f2bc80ba86", None),
    "qwen": ("04bd97b854e4e95ba6e3427c30f84731", "db99778a23d29a653ed11598356a4f03"),
}


def content_of(component: str, name: str) -> Any:
    file = f"{component}/{name}"
    if name.endswith(".safetensors"):
        return weights(file)
    if name.endswith(".index.json"):
        return {"weight_map": {f"{n}": each for n, each in enumerate(SHARDED[2:])}}
    return {"file": file} if name.endswith(".json") else file


def make_family(folder: Path, family: str) -> Path:
    """Write a folder as a model of that family has it, with other files beside it."""
    pipeline, components = FAMILIES[family]
    index: dict[str, Any] = {"_class_name": pipeline, "_diffusers_version": "0.30.0"}
    for component, (library, kind, files) in components.items():
        index[component] = [library, kind]
        for name in files:
            write(folder, f"{component}/{name}", content_of(component, name))
    write(folder, "model_index.json", index)
    write(folder, "README.md", "# A model")
    return folder


def print_of(folder: Path) -> tuple[str, str | None]:
    found = fingerprints(locate(str(folder), download=True), Digests())
    return found.current, found.former[0] if found.former else None


def list_files(index: Mapping[str, Any], *added: str) -> set[str]:
    """Return what is loaded of the folder of `make_folder` with other files in it."""
    given = make_folder_list()
    return set(loaded_files([*given, *added], INDEX | index, variant=None))


def make_folder_list() -> list[str]:
    return [
        "model_index.json",
        "scheduler/scheduler_config.json",
        *(f"text_encoder/{name}" for name in TEXT),
        *(f"tokenizer/{name}" for name in CLIP),
        *(f"{part}/{name}" for part in ("unet", "vae") for name in NETWORK),
    ]


@pytest.mark.parametrize("family", FAMILIES)
def test_the_fingerprint_of_a_folder_stays_what_it_is(
    tmp_path: Path, family: str
) -> None:
    assert print_of(make_family(tmp_path, family)) == GOLDEN[family]


@pytest.mark.parametrize("family", FAMILIES)
def test_every_loaded_file_decides_and_the_first_versions_decide_the_former(
    tmp_path: Path, family: str
) -> None:
    make_family(tmp_path, family)
    found = locate(str(tmp_path), download=True)
    first = first_version(found.files, found.index)
    for file in found.files:
        content = (tmp_path / file).read_bytes()
        (tmp_path / file).write_bytes(content + b" ")
        current, former = print_of(tmp_path)
        assert current != GOLDEN[family][0]
        assert (former == GOLDEN[family][1]) == (former is None or file not in first)
        (tmp_path / file).write_bytes(content)
    assert print_of(tmp_path) == GOLDEN[family]


def test_a_worker_takes_jobs_of_both_fingerprints_and_no_other(tmp_path: Path) -> None:
    found = locate(str(make_family(tmp_path, "qwen")), download=True)
    current, former = GOLDEN["qwen"]
    assert verify(found, current, digests=Digests()).current == current
    assert former in verify(found, str(former), digests=Digests()).former
    (tmp_path / "tokenizer" / "chat_template.jinja").write_text("another")
    assert verify(found, str(former), digests=Digests())
    with pytest.raises(FingerprintError, match="must have the files that were planned"):
        verify(found, current, digests=Digests())


def test_a_copy_that_lacks_a_file_of_the_new_list_is_another_model(
    tmp_path: Path,
) -> None:
    make_family(tmp_path, "qwen")
    for name in (
        "tokenizer/chat_template.jinja",
        "text_encoder/generation_config.json",
    ):
        (tmp_path / name).unlink()
    found = locate(str(tmp_path), download=True)
    assert print_of(tmp_path) == (GOLDEN["qwen"][1], None)
    with pytest.raises(FingerprintError):
        verify(found, GOLDEN["qwen"][0], digests=Digests())


def test_templates_and_processors_below_a_tokenizer_count(tmp_path: Path) -> None:
    added = {
        "tokenizer/additional_chat_templates/tool_use.jinja",
        "tokenizer/qformer_tokenizer/vocab.txt",
        "tokenizer/tokenizer.model.v3",
        "tokenizer/tekken.json",
    }
    hidden = {"tokenizer/.cache/a.json", "tokenizer/README.md", "tokenizer/vocab.json~"}
    assert list_files({}, *added, *hidden) == {*make_folder_list(), *added}
    for file in (*added, *hidden):
        write(make_folder(tmp_path), file, "text")
    assert added < set(locate(str(tmp_path), download=True).files)
    assert hidden.isdisjoint(locate(str(tmp_path), download=True).files)


def test_an_adapter_that_only_some_machines_load_is_refused() -> None:
    with pytest.raises(ModelError, match=r"text_encoder/adapter_config\.json belongs"):
        list_files({}, "text_encoder/adapter_config.json")
    # diffusers reads none.
    assert list_files({}, "unet/adapter_config.json") == set(make_folder_list())


def test_a_guider_is_its_config() -> None:
    index = {"guider": ["diffusers", "AdaptiveProjectedMixGuidance"]}
    file = "guider/guider_config.json"
    assert file in list_files(index, file)
    with pytest.raises(ModelError, match=r"guider_config\.json is missing"):
        list_files(index)


def test_a_tokenizer_that_is_a_network_has_its_weights_counted() -> None:
    index = {"sound_tokenizer": ["diffusers", "Cosmos3AVAEAudioTokenizer"]}
    added = {f"sound_tokenizer/{name}" for name in NETWORK}
    assert added < list_files(index, *added)


@pytest.mark.parametrize("names", [TEXT, NETWORK])
def test_a_class_of_a_pipelines_own_module_may_be_of_either_library(
    names: tuple[str, ...],
) -> None:
    # As the text encoder of Kolors is, a class of transformers in diffusers.
    index = {"text_encoder_2": ["kolors", "ChatGLMModel"]}
    added = {f"text_encoder_2/{name}" for name in names}
    assert added < list_files(index, *added)


def test_former_fingerprints_are_no_part_of_a_model_but_give_former_keys(
    tmp_path: Path,
) -> None:
    folder = make_folder(tmp_path)
    before = describe(str(folder), base_dir=Path()).model
    assert before.former_fingerprints == ()
    write(folder, "tokenizer/chat_template.jinja", "{{ messages }}")
    model = describe(str(folder), base_dir=Path()).model
    assert model.former_fingerprints == (before.fingerprint,)
    assert model == replace(model, former_fingerprints=())
    assert make_job(model=model).former_keys == (make_job(model=before).key,)
    assert make_job(model=before).former_keys == ()
