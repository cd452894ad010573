"""Inputs that only some pipelines have reach the pipeline's call as a script's do."""

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from storage.job import Job
from tests.batches import Bench, make_job
from tests.matrices import sample, shorten
from tests.tiny_kinds import KINDS

#: What diffusers and transformers say of small models that stand in for large ones.
pytestmark = [
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.usefixtures("one_thread"),
]

SD, SDXL = "StableDiffusionPipeline", "StableDiffusionXLPipeline"
SD3, FLUX = "StableDiffusion3Pipeline", "FluxPipeline"
QWEN, PAG = "QwenImagePipeline", "StableDiffusionPAGPipeline"
LUMINA, KLEIN = "LuminaPipeline", "Flux2KleinPipeline"
#: Values that are not neutral, by the kind of model.
CASES = [
    (SD, {"guidance_rescale": 0.7}),
    (SDXL, {"original_size": [512, 256], "crops_coords_top_left": [16, 8]}),
    (SDXL, {"prompt_2": "a green square"}),
    (SD3, {"max_sequence_length": 4}),
    (
        SD3,
        {
            "skip_guidance_layers": [0],
            "skip_layer_guidance_start": 0.0,
            "skip_layer_guidance_stop": 1.0,
        },
    ),
    (FLUX, {"true_cfg_scale": 3.0}),
    (FLUX, {"max_sequence_length": 4}),
    (QWEN, {"true_cfg_scale": 2.0}),
    ("ZImagePipeline", {"cfg_normalization": True}),
    ("Lumina2Pipeline", {"system_prompt": "You paint."}),
    (LUMINA, {"proportional_attn": False}),
    ("CogView4Pipeline", {"original_size": [512, 256]}),
    (SD3, {"prompt_3": "a green square"}),
    (KLEIN, {"text_encoder_out_layers": [1, 1, 1]}),
    (PAG, {"pag_scale": 1.0}),
]
LONG = "a red circle beside a blue square on a white background, with a green frame"
WIDTH = 2


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    yield tmp_path_factory.mktemp("models")
    open_bench.cache_clear()


@cache
def open_bench(folder: Path, kind: str) -> tuple[Bench, Callable[..., Job]]:
    """Load a small model; return it with a maker of its jobs."""
    model = str(KINDS[kind](folder / kind))
    is_flow = kind not in (SD, SDXL, PAG)

    def make(seed: int = 1, **call: Any) -> Job:
        return make_job(
            "flow_euler" if is_flow else "ddim",
            model=model,
            prompt=LONG,
            negative_prompt="" if kind == KLEIN else "ugly",
            guidance=3.0,
            seed=seed,
            extras={f"call.{name}": value for name, value in call.items()},
        )

    bench = Bench(model)
    if kind == LUMINA:
        bench.pipe.default_image_size = 48  # of a model for smaller images than 64 x 64
    return bench, make


@pytest.mark.parametrize(("kind", "call"), shorten(CASES, CASES[:6:5]))
def test_an_input_of_the_pipeline_is_as_in_a_script_and_changes_the_image(
    folder: Path, kind: str, call: dict[str, Any]
) -> None:
    bench, make = open_bench(folder, kind)
    given, neutral = make(**call), make()
    assert given.key != neutral.key
    alone = {**bench.mixed([given], 1)[0], **bench.mixed([neutral], 1)[0]}
    assert alone[given.key].equals(bench.plain(given))
    assert alone[neutral.key].equals(bench.plain(neutral))
    assert not alone[given.key].equals(alone[neutral.key])


@pytest.mark.parametrize(
    ("kind", "call"),
    sample([one for one in CASES if one[0] != PAG], CASES[1:11:3], quick=CASES[1:2]),
)
def test_jobs_that_differ_in_an_input_do_not_change_each_other(
    folder: Path, kind: str, call: dict[str, Any]
) -> None:
    bench, make = open_bench(folder, kind)
    jobs = [make(1, **call), make(2), make(3, **call), make(4)]
    made, _ = bench.mixed(jobs, WIDTH)
    for job in jobs:
        difference = made[job.key].pixels - bench.plain(job).pixels
        assert float(difference.abs().max()) < 1e-4, (kind, call)


def test_a_text_is_encoded_for_each_length_that_jobs_ask_for(folder: Path) -> None:
    bench, make = open_bench(folder, SD3)
    for job in (make(), make(max_sequence_length=4), make(seed=2)):
        made, _ = bench.mixed([job], 1)
        assert made[job.key].equals(bench.plain(job))


def test_an_input_that_the_installed_pipeline_lacks_fails_the_job(
    folder: Path,
) -> None:
    bench, make = open_bench(folder, SD)
    job = make(true_cfg_scale=4.0)
    _, basket = bench.mixed([job], 1)
    assert str(basket.failures[job.key]) == (
        "true_cfg_scale must be neutral for StableDiffusionPipeline, which has no such"
        " input"
    )
