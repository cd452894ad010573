"""How weights are quantised: what a sweep says, and what a model cannot have."""

from dataclasses import replace
from pathlib import Path

import pytest

from producer.expansion.expand import Expansion, expand
from producer.models.cards import ModelCard
from producer.reproduction.script import write_script
from producer.spec.sweepfile import read_spec
from storage.errors import SpecError
from storage.job import Job
from storage.jobs.records import Record
from storage.models.located import in_folder
from tests.unit import cards
from tests.unit.cards import CARD, FLOW_CARD, describe_fake, write_spec
from tests.unit.lora_files import kohya, write_tensors

PARTS = {"text_encoder": ["transformers", "CLIPTextModel"], "vae": ["diffusers", "V"]}


@pytest.fixture(autouse=True)
def _models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have one model with a UNet, and one with a transformer."""

    def with_network(card: ModelCard, name: str) -> ModelCard:
        index = {**PARTS, name: ["diffusers", "Network"]}
        return replace(card, located=in_folder("here", tmp_path, index, ()))

    file = replace(CARD.model, name="/models/x.safetensors")
    known = {
        "sd": with_network(CARD, "unet"),
        "flow": with_network(FLOW_CARD, "transformer"),
        "file": replace(CARD, model=file),
        "gguf": replace(CARD, model=replace(file, name="/models/x.gguf")),
    }
    monkeypatch.setattr(cards, "CARDS", known)


def expand_text(folder: Path, rest: str, *, model: str = "sd") -> Expansion:
    text = f"name: s\nbase: {{model: {model}, prompt: a cat}}\n{rest}\n"
    return expand(read_spec(write_spec(folder, text)), describe_fake)


def jobs_of(folder: Path, rest: str, *, model: str = "sd") -> list[Job]:
    return [one.job for one in expand_text(folder, rest, model=model).jobs()]


def refused(folder: Path, rest: str, *, model: str = "sd") -> str:
    with pytest.raises(SpecError) as caught:
        expand_text(folder, rest, model=model)
    return str(caught.value)


@pytest.mark.parametrize(
    ("model", "network"), [("sd", "unet"), ("flow", "transformer")]
)
def test_a_scheme_alone_is_for_the_network(
    model: str, network: str, tmp_path: Path
) -> None:
    axes = f"axes: {{quantize: [null, int8, {{{network}: int8}}, {{{network}: fp8}}]}}"
    expansion = expand_text(tmp_path, axes, model=model)
    jobs = [one.job for one in expansion.jobs()]
    texts = [job.parameter("quantize") for job in jobs]
    assert texts == ["", f"{network}=int8", f"{network}=fp8"]
    assert len({job.key for job in jobs}) == len({job.group for job in jobs}) == 3
    assert expansion.duplicates


def test_components_have_a_scheme_each_in_any_order(tmp_path: Path) -> None:
    both = ["{unet: int8, text_encoder: fp8}", "{text_encoder: fp8, unet: int8}"]
    keys = {
        job.key
        for each in both
        for job in jobs_of(tmp_path, f"axes: {{quantize: [{each}]}}")
    }
    [job] = jobs_of(tmp_path, f"axes: {{quantize: [{both[0]}]}}")
    assert keys == {job.key}
    assert job.parameter("quantize") == "text_encoder=fp8 unet=int8"


def test_a_job_that_is_not_quantised_has_the_key_that_it_had(tmp_path: Path) -> None:
    plain, null = (jobs_of(tmp_path, each) for each in ("", "axes: {quantize: null}"))
    assert plain[0].key == null[0].key
    assert plain[0].extras == {}


def test_an_axis_of_schemes_has_their_names(tmp_path: Path) -> None:
    axes = "axes: {quantize: [null, int8, {text_encoder: fp8}]}"
    labels = [one.cell["quantize"] for one in expand_text(tmp_path, axes).jobs()]
    assert labels == ["none", "int8", "text_encoder=fp8"]


def test_bundles_exclusions_and_the_base_mean_the_network_too(tmp_path: Path) -> None:
    axes = (
        "axes: {way: [{label: a, set: {quantize: int8, steps: 4}}, {label: b, set:"
        " {quantize: fp8, steps: 4}}]}\nexclude: [{quantize: int8}]"
    )
    [job] = jobs_of(tmp_path, axes)
    assert job.parameter("quantize") == "unet=fp8"
    text = "name: s\nbase: {model: flow, prompt: a cat, quantize: fp8}\n"
    [planned] = expand(read_spec(write_spec(tmp_path, text)), describe_fake).jobs()
    assert planned.job.parameter("quantize") == "transformer=fp8"


def test_what_cannot_be_quantised_is_refused(tmp_path: Path) -> None:
    write_tensors(
        tmp_path / "ink.safetensors", kohya({"a": (8, 8)}, prefix="lora_unet_")
    )
    cases = {
        "quantize: int4": "quantize must be one of int8, int8_dynamic, fp8 and",
        "quantize: {transformer: int8}": "components that the model has, got"
        " transformer; it has unet and text_encoder",
        "quantize: {vae: int8}": "`quantize` has no key `vae`",
        "quantize: {}": "quantize must name a scheme or components, got an empty",
        "quantize: int8, loras: ink.safetensors": "left out beside LoRAs",
        "quantize: fp8_dynamic, dtype: float16": "`quantize: fp8_dynamic` must stand"
        " beside `dtype: bfloat16`, since torchao makes its weights from no other, got"
        " float16",
        "quantize: int8, backend: flax, generator: numpy": "quantize must be left out"
        " for `backend: flax`",
    }
    for base, said in cases.items():
        text = f"name: s\nbase: {{model: sd, prompt: a cat, {base}}}\n"
        with pytest.raises(SpecError) as caught:
            expand(read_spec(write_spec(tmp_path, text)), describe_fake)
        assert said in str(caught.value), base
    message = refused(tmp_path, "axes: {quantize: int8}", model="file")
    assert "quantize must be left out for a single file, got" in message
    message = refused(tmp_path, "axes: {quantize: int8}", model="gguf")
    assert "left out for a GGUF file, whose weights are quantised already" in message
    assert "it is called `quantize` here" in refused(tmp_path, "axes: {quantise: int8}")


def test_a_script_quantises_each_component_by_the_library_that_loads_it(
    tmp_path: Path,
) -> None:
    axes = (
        "axes: {dtype: bfloat16, quantize: [{unet: fp8_dynamic, text_encoder: int8}]}"
    )
    [job] = jobs_of(tmp_path, axes)
    record = Record(key=job.key, job=job, places=(), scheduler="", made=None)
    script = write_script(record)
    for line in (
        '"text_encoder": transformers.TorchAoConfig(Int8WeightOnlyConfig()),',
        '"unet": TorchAoConfig(Float8DynamicActivationFloat8WeightConfig(granularity='
        "PerRow())),",
        "quantization_config=quantised,",
    ):
        assert line in script
    compile(script, "script.py", "exec")
