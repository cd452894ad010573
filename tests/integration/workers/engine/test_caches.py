"""Cached networks make the images of a plain script, and remember no other image."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from diffusers.hooks.mag_cache import FLUX_MAG_RATIOS

from storage.catalogue.caches import CACHES
from storage.errors import JobError
from storage.job import Job
from tests.batches import Bench, card_of, make_job
from tests.matrices import sample
from tests.tiny_kinds import KINDS, allow_small_sizes
from tests.tiny_pipelines import Parts
from tests.work import paint
from tests.written_scripts import make_painter, run_script
from workers.engine.fixed_jobs import paint_all

#: What diffusers and transformers say of small models that stand in for large ones.
pytestmark = [
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.usefixtures("one_thread"),
]
FLUX = "FluxPipeline"
STEPS = 8
#: A text of each cache that leaves work out in so few steps, and the same in diffusers.
TRIED: Mapping[str, tuple[str, Callable[[Any], Any]]] = {
    "first_block": (
        "first_block threshold=3.0",
        lambda _: diffusers.FirstBlockCacheConfig(threshold=3.0),
    ),
    "taylorseer": (
        "taylorseer cache_interval=3 disable_cache_before_step=2 max_order=1",
        lambda _: diffusers.TaylorSeerCacheConfig(
            cache_interval=3, disable_cache_before_step=2, max_order=1
        ),
    ),
    "pyramid_attention": (
        "pyramid_attention spatial_attention_block_skip_range=2",
        lambda pipe: diffusers.PyramidAttentionBroadcastConfig(
            spatial_attention_block_skip_range=2,
            current_timestep_callback=lambda: pipe.current_timestep,
        ),
    ),
    "faster": (
        "faster spatial_attention_block_skip_range=2",
        lambda pipe: diffusers.FasterCacheConfig(
            spatial_attention_block_skip_range=2,
            is_guidance_distilled=True,
            tensor_format="BCHW",
            current_timestep_callback=lambda: pipe.current_timestep,
        ),
    ),
    "mag": (
        "mag threshold=0.3 max_skip_steps=3 retention_ratio=0.2",
        lambda _: diffusers.MagCacheConfig(
            threshold=0.3, num_inference_steps=STEPS, mag_ratios=FLUX_MAG_RATIOS
        ),
    ),
}
PAIRS = [(name, pipeline) for name in CACHES for pipeline in CACHES[name].pipelines]
#: All of one pipeline, and one that calls its network twice a step.
CASES = sample(
    sorted(PAIRS),
    {*((each, FLUX) for each in CACHES), ("first_block", "QwenImagePipeline")},
    quick={("first_block", FLUX)},
)


@pytest.fixture(autouse=True, scope="module")
def _small() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        allow_small_sizes(patch)
        yield
    folder_of.cache_clear()


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Save models whose networks have two blocks of each kind, so that one can wait."""
    return partial(folder_of, root=tmp_path_factory.mktemp("models"))


@cache
def folder_of(pipeline: str, *, root: Path) -> Path:
    folder = Path(KINDS[pipeline](root / pipeline))
    pipe = diffusers.DiffusionPipeline.from_pretrained(folder, use_safetensors=True)
    own = pipe.transformer.config
    more = {name: 2 for name in ("num_layers", "num_single_layers") if own.get(name)}
    deep = type(pipe.transformer).from_config({**own, **more})
    Parts(root / "parts").randomize(deep).save_pretrained(folder / "transformer")
    return folder


def job_of(folder: Path, text: str, **changes: Any) -> Job:
    own = "FlowMatchEulerDiscreteScheduler"
    card = card_of(str(folder))
    changes |= {"steps": STEPS, "guidance": card.guidance_default}
    changes["extras"] = {"cache": text}
    if "call.true_cfg_scale" in card.calls and "Qwen" in card.pipeline_class:
        # With a negative prompt it calls its network twice a step.
        changes["extras"]["call.true_cfg_scale"] = 3.0
        changes["negative_prompt"] = "red"
    return make_job(own, model=str(folder), **changes)


@pytest.mark.parametrize(("name", "pipeline"), CASES)
def test_an_image_is_that_of_a_script_and_the_next_one_knows_nothing_of_it(
    name: str, pipeline: str, folders: Callable[[str], Path]
) -> None:
    text, make_config = TRIED[name]
    bench = Bench(str(folders(pipeline)))
    job = job_of(folders(pipeline), text)
    plain = replace(job, extras={**job.extras, "cache": ""})
    pixels = [
        paint_all(bench.starter, [each])[0].result for each in (plain, job, job, plain)
    ]
    bench.pipe.transformer.enable_cache(make_config(bench.pipe))
    script = bench.plain(job).pixels
    bench.pipe.transformer.disable_cache()
    assert torch.equal(pixels[1].cpu(), script)
    assert torch.equal(pixels[1], pixels[2])
    assert torch.equal(pixels[0], pixels[3])
    assert not torch.equal(pixels[0], pixels[1])


def test_a_job_that_ends_early_leaves_no_cache(
    folders: Callable[[str], Path],
) -> None:
    bench, text = Bench(str(folders(FLUX))), TRIED["first_block"][0]
    run, paint_it = bench.starter.start(job_of(folders(FLUX), text), is_alone=True)
    with torch.no_grad():
        run.begin(paint_it)
    assert bench.pipe.transformer.is_cache_enabled
    run.end()
    assert not bench.pipe.transformer.is_cache_enabled


def test_a_job_that_fails_leaves_no_cache(
    folders: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    own = diffusers.FlowMatchEulerDiscreteScheduler
    step = own.step

    def fail_at_last(scheduler: Any, *args: Any, **kwargs: Any) -> Any:
        if scheduler.step_index == STEPS - 1:
            msg = "broken"
            raise ValueError(msg)
        return step(scheduler, *args, **kwargs)

    bench, text = Bench(str(folders(FLUX))), TRIED["mag"][0]
    monkeypatch.setattr(own, "step", fail_at_last)
    with pytest.raises(JobError, match="broken"):
        paint_all(bench.starter, [job_of(folders(FLUX), text)])
    assert not bench.pipe.transformer.is_cache_enabled


def test_a_worker_makes_cached_jobs_alone_and_says_why(
    folders: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [job_of(folders(FLUX), TRIED["mag"][0], seed=seed) for seed in (1, 2)]
    made = paint(make_painter(tmp_path), *jobs)
    assert [each.batch_width for each in made] == [1, 1]
    reasons = {each.environment.details["alone"] for each in made}
    assert reasons == {"a cache decides for a whole batch"}
    script = run_script(jobs[0], tmp_path, monkeypatch)
    assert script.tobytes() in {each.image.tobytes() for each in made}
