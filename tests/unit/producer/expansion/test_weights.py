"""LoRAs and textual inversions of a sweep: which jobs they make, for which models."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from producer.expansion.expand import Expansion, expand
from producer.models.cards import ModelCard
from producer.spec.sweepfile import read_spec
from storage.catalogue.pipeline_families import Guidance
from storage.errors import SpecError
from storage.models.fingerprint import Digests
from storage.models.located import in_folder
from storage.models.part_files import describe_part
from tests.unit import cards
from tests.unit.cards import CARD, describe_fake, write_spec
from tests.unit.lora_files import kohya, lokr, peft, write_tensors

LAYERS = {"mid_block.attentions.0.attn2.to_k": (8, 16)}


@pytest.fixture(autouse=True)
def _files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write a model with one layer, LoRAs for it, and one for another base."""
    for part in ("unet", "text_encoder"):
        (tmp_path / part).mkdir()
    write_tensors(
        tmp_path / "unet/model.safetensors",
        {f"{name}.weight": np.zeros(size) for name, size in LAYERS.items()},
    )
    tokens = {"embeddings.token_embedding.weight": np.zeros((9, 4))}
    write_tensors(tmp_path / "text_encoder/model.safetensors", tokens)
    write_tensors(tmp_path / "ink.safetensors", kohya(LAYERS, prefix="lora_unet_"))
    write_tensors(tmp_path / "copy.safetensors", kohya(LAYERS, prefix="lora_unet_"))
    write_tensors(tmp_path / "pen.safetensors", peft(LAYERS, prefix="unet.", seed=2))
    wide = dict.fromkeys(LAYERS, (8, 768))
    write_tensors(tmp_path / "wide.safetensors", kohya(wide, prefix="lora_unet_"))
    write_tensors(tmp_path / "blob.safetensors", {"emb_params": np.zeros((2, 4))})
    write_tensors(tmp_path / "long.safetensors", {"emb_params": np.zeros((2, 5))})
    (tmp_path / "old.pt").write_bytes(b"PK")
    files = ("text_encoder/model.safetensors", "unet/model.safetensors")
    located = in_folder("here", tmp_path, {}, files)
    known: dict[str, ModelCard] = {
        "here": replace(CARD, located=located, effects=Guidance()),
        "other": replace(CARD, pipeline_class="KolorsPipeline"),
    }
    monkeypatch.setattr(cards, "CARDS", known)


def expand_text(folder: Path, rest: str, *, model: str = "here") -> Expansion:
    text = f"name: s\nbase: {{model: {model}, prompt: a cat}}\n{rest}\n"
    return expand(read_spec(write_spec(folder, text)), describe_fake)


def extras_of(expansion: Expansion) -> list[dict[str, Any]]:
    jobs = [planned.job for planned in expansion.jobs()]
    assert expansion.count == len(jobs) == len({job.key for job in jobs})
    return [dict(job.extras) for job in jobs]


def print_of(folder: Path, name: str) -> str:
    file = str(folder / f"{name}.safetensors")
    place = replace(CARD.model, name=file)
    return describe_part(place, Digests())[0].fingerprint


def refused(folder: Path, rest: str, *, model: str = "here") -> str:
    with pytest.raises(SpecError) as caught:
        expand_text(folder, rest, model=model)
    return str(caught.value)


def test_an_axis_has_a_value_for_none_for_one_and_for_several(tmp_path: Path) -> None:
    expansion = expand_text(
        tmp_path,
        "axes:\n  loras: [null, ./ink.safetensors, {file: pen.safetensors, scale: 2,"
        " adapter: biro}, [ink.safetensors, {file: pen.safetensors, scale: -0.5}]]",
    )
    ink, pen = (print_of(tmp_path, name) for name in ("ink", "pen"))
    assert extras_of(expansion) == [
        {},
        {"loras": [[ink, 1.0]]},
        {"loras": [[pen, 2.0]]},
        {"loras": [[ink, 1.0], [pen, -0.5]]},
    ]
    labels = [one.cell["loras"] for one in expansion.jobs()]
    assert labels == ["none", "ink", "biro@2", "ink + pen@-0.5"]


def test_a_job_knows_where_its_files_are(tmp_path: Path) -> None:
    [planned] = expand_text(
        tmp_path, "axes: {loras: [[ink.safetensors, pen.safetensors]]}"
    ).jobs()
    places = [(part.name, part.family) for part in planned.job.parts]
    files = [tmp_path / f"{name}.safetensors" for name in ("ink", "pen")]
    assert places == [(str(file), "lora") for file in files]


def test_a_file_has_one_key_wherever_it_lies(tmp_path: Path) -> None:
    keys = [
        [
            one.job.key
            for one in expand_text(tmp_path, f"axes: {{loras: {name}}}").jobs()
        ]
        for name in ("ink.safetensors", "./copy.safetensors")
    ]
    assert keys[0] == keys[1]


def test_lora_scale_multiplies_the_scale_of_each(tmp_path: Path) -> None:
    expansion = expand_text(
        tmp_path,
        "axes:\n  loras: [[ink.safetensors, {file: pen.safetensors, scale: 0.5}]]\n"
        "  lora_scale: [0.5, 2]",
    )
    ink, pen = (print_of(tmp_path, name) for name in ("ink", "pen"))
    assert extras_of(expansion) == [
        {"loras": [[ink, 0.5], [pen, 0.25]]},
        {"loras": [[ink, 2.0], [pen, 1.0]]},
    ]


def test_a_scale_of_zero_and_no_lora_are_one_job(tmp_path: Path) -> None:
    expansion = expand_text(
        tmp_path,
        "axes: {loras: [null, ink.safetensors, pen.safetensors], lora_scale: [0, 1]}",
    )
    ink, pen = (print_of(tmp_path, name) for name in ("ink", "pen"))
    made = extras_of(expansion)
    assert made == [{}, {"loras": [[ink, 1.0]]}, {"loras": [[pen, 1.0]]}]
    assert "lora_scale leaves the same LoRAs" in " ".join(expansion.duplicates)


def test_two_ways_to_write_one_scale_are_one_job(tmp_path: Path) -> None:
    half = "{file: ink.safetensors, scale: 0.5}"
    expansion = expand_text(
        tmp_path, f"axes: {{loras: [ink.safetensors, {half}], lora_scale: [0.5, 1]}}"
    )
    ink = print_of(tmp_path, "ink")
    assert extras_of(expansion) == [
        {"loras": [[ink, 0.5]]},
        {"loras": [[ink, 1.0]]},
        {"loras": [[ink, 0.25]]},
    ]


def test_a_sweep_without_loras_has_the_keys_that_it_had(tmp_path: Path) -> None:
    [plain] = expand_text(tmp_path, "").jobs()
    [scaled] = expand_text(tmp_path, "axes: {lora_scale: 0.5}").jobs()
    assert plain.job.extras == {}
    assert plain.job.key == scaled.job.key


def test_textual_inversions_have_a_token(tmp_path: Path) -> None:
    expansion = expand_text(
        tmp_path,
        "axes:\n  embeddings: [null, blob.safetensors,"
        " {file: blob.safetensors, token: <b>}]",
    )
    blob = print_of(tmp_path, "blob")
    assert extras_of(expansion) == [
        {},
        {"embeddings": [[blob, "blob"]]},
        {"embeddings": [[blob, "<b>"]]},
    ]


def test_jobs_with_other_loras_are_in_other_batches(tmp_path: Path) -> None:
    text = "axes: {seed: [1, 2], loras: [null, ink.safetensors, pen.safetensors]}"
    planned = expand_text(tmp_path, text).jobs()
    assert len({one.job.group for one in planned}) == 3


def test_options_of_the_command_line_name_loras(tmp_path: Path) -> None:
    file = write_spec(tmp_path, "name: s\nbase: {model: here, prompt: a cat}\n")
    spec = read_spec(
        file,
        sets=["base.loras=[ink.safetensors, pen.safetensors]"],
        axes=["lora_scale=1,2"],
    )
    assert [len(each["loras"]) for each in extras_of(expand(spec, describe_fake))] == [
        2,
        2,
    ]
    spec = read_spec(file, axes=["loras=[null, ink.safetensors]"])
    assert expand(spec, describe_fake).count == 2


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (
            "wide.safetensors",
            "line 3: a LoRA must fit its model, but wide has 768 inputs for"
            " mid_block_attentions_0_attn2_to_k, where the model has 16, so it seems to"
            " be for Stable Diffusion 1; use one that was made for builtin:shapes or"
            " its base",
        ),
        ("gone.safetensors", "weights besides the model must be a file, got"),
        (
            "./old.pt",
            "must be in .safetensors, got old.pt, which may hold code",
        ),
        ("{scale: 1}", "a LoRA must have a file or an id, got none; write one"),
        ("{file: a, id: b/c}", "a LoRA must have a file or an id, got both"),
        (
            "{file: ink.safetensors, scale: 11}",
            "must be a number from -10 to 10",
        ),
        ("{file: ink.safetensors, weight: a}", "only a LoRA of the Hub has a weight"),
        ("{id: ink}", "id must be a Hub id such as org/name, got ink; write `file`"),
        (
            "[ink.safetensors, copy.safetensors]",
            "must be named once in a job",
        ),
        ("blob.safetensors", "but blob has no layers of a LoRA"),
    ],
)
def test_a_wrong_lora_is_refused_at_its_line(
    tmp_path: Path, value: str, said: str
) -> None:
    assert said in refused(tmp_path, f"axes: {{loras: [{value}]}}")


def test_a_lokr_beside_a_lora_is_refused(tmp_path: Path) -> None:
    write_tensors(
        tmp_path / "wash.safetensors", lokr({"layer": (8, 8)}, prefix="transformer.")
    )
    assert (
        "LoKrs and LoRAs must not be in one job, whose image would depend on the order"
        " of loading, got ink + wash; leave out the ones or the others"
    ) in refused(tmp_path, "axes: {loras: [[ink.safetensors, wash.safetensors]]}")


def test_a_wrong_textual_inversion_is_refused(tmp_path: Path) -> None:
    assert "vectors of 5 numbers, where the model's text_encoder has 4" in refused(
        tmp_path, "axes: {embeddings: long.safetensors}"
    )
    assert "the model takes one tensor only" in refused(
        tmp_path, "axes: {embeddings: ink.safetensors}"
    )
    assert "token must be one word of a prompt, got two words" in refused(
        tmp_path, "axes: {embeddings: {file: blob.safetensors, token: two words}}"
    )


def test_pipelines_that_were_not_tried_are_refused(tmp_path: Path) -> None:
    said = refused(tmp_path, "axes: {loras: ink.safetensors}", model="other")
    assert "LoRAs must be for a pipeline with which they were tried" in said
    assert "got ink for a KolorsPipeline; known are StableDiffusionPipeline" in said


def test_flax_refuses_loras(tmp_path: Path) -> None:
    said = refused(
        tmp_path, "axes: {loras: ink.safetensors, backend: flax, generator: numpy}"
    )
    assert "loras must be" in said
    assert "got ink" in said


def test_a_lora_that_is_left_out_everywhere_may_be_wrong(tmp_path: Path) -> None:
    text = (
        "axes: {loras: [null, wide.safetensors]}\nexclude: [{loras: wide.safetensors}]"
    )
    assert extras_of(expand_text(tmp_path, text)) == [{}]
