"""Diffusers of other versions, which copy what a batch is filled with, or change it.

Their pipelines are those that are installed, with lines changed.
"""

import functools
import inspect
import logging
import sys
import textwrap
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path

import diffusers
import pytest

from storage.job import Job
from tests.batches import Bench, make_job
from tests.tiny_pipelines import make_flux, make_sd, make_sdxl
from tests.work import Basket, Notes
from workers.engine import steering
from workers.engine.torch_painter import TorchPainter

ROOT = Path(steering.__file__).parents[2]
TEXTS = ("a cat", "two dogs", "red", "a green square", "a blue circle")
MAKERS: Mapping[str, Callable[[Path], Path]] = {
    "StableDiffusionPipeline": make_sd,
    "StableDiffusionXLPipeline": make_sdxl,
    "FluxPipeline": functools.partial(make_flux, embeds_guidance=False),
}
LOOP = "    with self.progress_bar(total=num_inference_steps) as progress_bar:\n"
#: What a version might do: lines that are there, and what stands in their place.
COPIES_TEXT = {
    LOOP: "    own_embeds = prompt_embeds.clone()\n" + LOOP,
    "encoder_hidden_states=prompt_embeds,": "encoder_hidden_states=own_embeds,",
}
COPIES_POOLED = {
    LOOP: "    own_embeds = pooled_prompt_embeds.clone()\n" + LOOP,
    "pooled_projections=pooled_prompt_embeds,": "pooled_projections=own_embeds,",
}
COPIES_ADDED = {
    LOOP: "    own_embeds = add_text_embeds.clone()\n" + LOOP,
    '"text_embeds": add_text_embeds': '"text_embeds": own_embeds',
}
IGNORES_LATENTS = {
    "callback_kwargs[k] = locals()[k]": "callback_kwargs[k] = locals()[k].clone()",
    'latents = callback_outputs.pop("latents", latents)': 'callback_outputs["latents"]',
}
CHANGES_HALVES = {
    "torch.cat([negative_prompt_embeds, prompt_embeds])": (
        "torch.cat([prompt_embeds, negative_prompt_embeds])"
    ),
    "noise_pred_uncond, noise_pred_text =": "noise_pred_text, noise_pred_uncond =",
}


def change(
    monkeypatch: pytest.MonkeyPatch, name: str, changes: Mapping[str, str]
) -> None:
    """Change lines of a pipeline's call."""
    made_by = getattr(diffusers, name)
    source = textwrap.dedent(inspect.getsource(made_by.__call__))
    for old, new in changes.items():
        assert source.count(old) >= 1, old
        source = source.replace(old, new)
    names = dict(vars(sys.modules[made_by.__module__]))
    exec(compile(source, name, "exec"), names)  # noqa: S102 - diffusers' own
    monkeypatch.setattr(made_by, "__call__", names["__call__"])


def make_jobs(model: str) -> list[Job]:
    scheduler = "flow_euler" if "Flux" in model else "ddim"
    return [
        make_job(scheduler, model=model, prompt=text, seed=seed, steps=2 + seed % 2)
        for seed, text in enumerate(TEXTS)
    ]


def make_painter(folder: Path) -> TorchPainter:
    digests = folder / "digests.json"
    return TorchPainter("cpu", threads=1, digests=digests, widths=Notes(2))


def paint(painter: TorchPainter, *jobs: Job) -> Basket:
    basket = Basket(*jobs)
    painter.paint(basket)
    basket.fetch()
    assert not basket.waiting
    assert not basket.in_hand
    assert not basket.failures
    return basket


@pytest.mark.parametrize(
    ("name", "changes", "version"),
    [
        ("StableDiffusionPipeline", COPIES_TEXT, "0.42.1"),
        ("StableDiffusionPipeline", IGNORES_LATENTS, "0.42.1"),
        ("StableDiffusionPipeline", CHANGES_HALVES, "0.43.0"),
        ("StableDiffusionXLPipeline", COPIES_ADDED, "0.43.0"),
        ("FluxPipeline", COPIES_TEXT, "0.43.0"),
        ("FluxPipeline", COPIES_POOLED, "0.43.0"),
    ],
)
def test_a_pipeline_that_does_not_read_what_is_filled_paints_one_by_one(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    name: str,
    changes: Mapping[str, str],
    version: str,
) -> None:
    model = str(MAKERS[name](tmp_path / name))
    jobs, bench = make_jobs(model), Bench(model)
    plain = {job.key: bench.plain(job) for job in jobs}
    change(monkeypatch, name, changes)
    monkeypatch.setattr(diffusers, "__version__", version)
    caplog.set_level(logging.WARNING, "workers")
    basket = paint(make_painter(tmp_path), *jobs)
    for job in jobs:
        made = basket.paintings[job.key]
        assert made.engine == "plain"
        pixels = bench.pipe.numpy_to_pil(
            plain[job.key].pixels.permute(0, 2, 3, 1).numpy()
        )[0]
        assert made.image.tobytes() == pixels.tobytes(), job.prompt
    (said,) = [text for text in caplog.messages if "one by one" in text]
    assert said == (
        f"{name} of diffusers {version} copies the tensors that batches write to: its "
        "images are painted one by one; install diffusers 0.42.*, which is tested."
    )


def test_the_painter_remembers_which_pipelines_it_cannot_steer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    model = str(make_sd(tmp_path / "sd"))
    change(monkeypatch, "StableDiffusionPipeline", COPIES_TEXT)
    painter = make_painter(tmp_path)
    for job in make_jobs(model):
        basket = paint(painter, job)
        assert basket.paintings[job.key].engine == "plain"
        assert basket.put_backs in ([], [[job]])
    assert caplog.text.count("painted one by one") == 1


@pytest.mark.parametrize("version", ["0.42.1", "0.43.0"])
@pytest.mark.parametrize("name", MAKERS)
def test_a_pipeline_that_reads_what_is_filled_is_steered_whatever_its_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, version: str
) -> None:
    monkeypatch.setattr(diffusers, "__version__", version)
    jobs = make_jobs(str(MAKERS[name](tmp_path / name)))
    basket = paint(make_painter(tmp_path), *jobs)
    assert {made.engine for made in basket.paintings.values()} == {"slots"}


def test_the_tested_diffusers_is_that_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (wanted,) = [
        each
        for each in project["optional-dependencies"]["torch"]
        if each.startswith("diffusers")
    ]
    assert wanted.startswith(f"diffusers>={steering.TESTED.rstrip('.')},")
    assert diffusers.__version__.startswith(steering.TESTED)
