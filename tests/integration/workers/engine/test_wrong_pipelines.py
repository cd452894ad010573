"""Pipelines that cannot share their network's calls: their jobs are painted alone.

They are the installed ones, with lines of their own or of their network changed.
"""

import functools
import inspect
import logging
import re
import sys
import textwrap
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch

from storage.job import Job
from tests.batches import Bench, make_job
from tests.matrices import shorten
from tests.tiny_pipelines import make_sd
from tests.work import Basket, Notes
from workers.engine.network_calls import UnshareableError
from workers.engine.pipelines import name_of
from workers.engine.sharing_check import find_fault
from workers.engine.torch_painter import TorchPainter

TEXTS = ("a cat", "a dog", "a cow", "a hen")
#: A line of Stable Diffusion, and what stands in its place.
IN_A_THREAD = {"noise_pred = self.unet(": "noise_pred = in_a_thread(self.unet, "}


@pytest.fixture(scope="module")
def sd(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(make_sd(tmp_path_factory.mktemp("models") / "sd"))


@pytest.fixture
def painter(tmp_path: Path) -> TorchPainter:
    digests = tmp_path / "digests.json"
    return TorchPainter("cpu", threads=1, digests=digests, widths=Notes(2))


def make_jobs(model: str, *, guidance: float = 2.3) -> list[Job]:
    return [
        make_job(model=model, prompt=text, seed=seed, steps=2, guidance=guidance)
        for seed, text in enumerate(TEXTS)
    ]


def change_network(
    monkeypatch: pytest.MonkeyPatch, change: Callable[[torch.Tensor], torch.Tensor]
) -> None:
    """Change the answers of all UNets."""
    forward = diffusers.UNet2DConditionModel.forward

    @functools.wraps(forward)
    def wrong(*args: Any, **kwargs: Any) -> Any:
        return (change(forward(*args, **kwargs)[0]),)

    monkeypatch.setattr(diffusers.UNet2DConditionModel, "forward", wrong)


def change_pipeline(
    monkeypatch: pytest.MonkeyPatch, changes: Mapping[str, str], **names: Any
) -> None:
    """Change lines of the call of Stable Diffusion, which may use these names."""
    made_by = diffusers.StableDiffusionPipeline
    source = textwrap.dedent(inspect.getsource(made_by.__call__))
    for old, new in changes.items():
        assert source.count(old) == 1, old
        source = source.replace(old, new)
    known = {**vars(sys.modules[made_by.__module__]), **names}
    exec(compile(source, "changed", "exec"), known)  # noqa: S102 - diffusers' own
    monkeypatch.setattr(made_by, "__call__", known["__call__"])


def mix_rows(answer: torch.Tensor) -> torch.Tensor:
    return answer + answer.mean(0, keepdim=True)


def drop_rows(answer: torch.Tensor) -> torch.Tensor:
    return answer.mean(0)


def in_a_thread(network: Any, *args: Any, **kwargs: Any) -> Any:
    with ThreadPoolExecutor(1) as threads:
        return threads.submit(torch.no_grad()(network), *args, **kwargs).result()


def mix_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    change_network(monkeypatch, mix_rows)


def drop_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    change_network(monkeypatch, drop_rows)


def use_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    change_pipeline(monkeypatch, IN_A_THREAD, in_a_thread=in_a_thread)


def paint(painter: TorchPainter, *jobs: Job) -> Basket:
    basket = Basket(*jobs)
    painter.paint(basket)
    basket.fetch()
    assert (list(basket.waiting), basket.in_hand, basket.failures) == ([], [], {})
    return basket


SPOILT = {
    mix_answers: r"an image changes by [0-9.]+ of 1 with the image beside it",
    drop_answers: "the answer of its network has no rows",
    use_threads: "it calls its network in a thread of its own",
}


@pytest.mark.parametrize("spoil", shorten(SPOILT, [mix_answers]))
def test_a_pipeline_that_cannot_share_calls_paints_one_by_one(
    painter: TorchPainter,
    sd: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    spoil: Callable[[pytest.MonkeyPatch], None],
) -> None:
    spoil(monkeypatch)
    reason, guidance = SPOILT[spoil], 1.0 if spoil is drop_answers else 2.3
    caplog.set_level(logging.WARNING, "workers")
    jobs, bench = make_jobs(sd, guidance=guidance), Bench(sd)
    basket = paint(painter, *jobs)
    paint(painter, *jobs)
    for job in jobs:
        made = basket.paintings[job.key]
        assert made.engine == "plain"
        assert re.fullmatch(reason, str(made.environment.details["alone"]))
        pixels = bench.plain(job).pixels.permute(0, 2, 3, 1).numpy()
        assert made.image.tobytes() == bench.pipe.numpy_to_pil(pixels)[0].tobytes()
    (said,) = [text for text in caplog.messages if "one by one" in text]
    assert re.fullmatch(
        rf"StableDiffusionPipeline of diffusers {re.escape(diffusers.__version__)} must"
        rf" paint its images one by one: {reason}\.",
        said,
    )


@pytest.mark.parametrize("spoil", [drop_answers, use_threads])
def test_what_cannot_be_merged_ends_a_batch_and_leaves_its_jobs(
    sd: str,
    monkeypatch: pytest.MonkeyPatch,
    spoil: Callable[[pytest.MonkeyPatch], None],
) -> None:
    spoil(monkeypatch)
    bench, jobs = Bench(sd), make_jobs(sd, guidance=1.0)
    basket = Basket(*jobs)
    hub = bench.hub(
        basket.gather(2), basket, 2, finish=lambda _: None, fail=basket.fail
    )
    with pytest.raises(UnshareableError) as raised:
        hub.run()
    assert str(raised.value) == SPOILT[spoil]
    assert {job.key for job in hub.jobs} == {job.key for job in basket.in_hand}


def test_a_pipeline_that_ignores_the_scheduler_fails_its_jobs(
    painter: TorchPainter, sd: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def call(_pipe: Any, prompt: str, **_given: Any) -> Any:
        assert prompt
        return (torch.zeros(1, 3, 64, 64),)

    monkeypatch.setattr(diffusers.StableDiffusionPipeline, "__call__", call)
    job = make_jobs(sd, guidance=1.0)[0]
    basket = Basket(job)
    painter.paint(basket)
    assert str(basket.failures[job.key]) == (
        "a pipeline must use the scheduler of the job, but this one never asks it for "
        "timesteps; name another model"
    )


@pytest.mark.parametrize("guidance", [1.0, 2.3])
def test_a_pipeline_is_checked_with_guidance_whatever_the_first_job_has(
    sd: str, monkeypatch: pytest.MonkeyPatch, guidance: float
) -> None:
    # Calls for unguided jobs have one row each, and this spoils two.
    def mix_pairs(answer: torch.Tensor) -> torch.Tensor:
        return answer + answer[::2].mean() if len(answer) > 2 else answer

    change_network(monkeypatch, mix_pairs)
    job = make_jobs(sd, guidance=guidance)[0]
    fault = find_fault(Bench(sd).starter, job, torch.float32)
    assert fault
    assert "with the image beside it" in fault


def test_in_half_precision_a_trace_of_the_image_beside_it_is_seen(
    sd: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def leak(answer: torch.Tensor) -> torch.Tensor:
        return answer + 0.1 * answer.mean(0, keepdim=True)

    change_network(monkeypatch, leak)
    job = make_jobs(sd)[0]
    fault = find_fault(Bench(sd, dtype="bfloat16").starter, job, torch.bfloat16)
    assert fault
    assert "with the image beside it" in fault


def test_rounding_by_the_width_of_a_batch_is_no_fault(
    sd: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # On a GPU, other widths have other kernels, and random weights enlarge rounding.
    def round_by_width(answer: torch.Tensor) -> torch.Tensor:
        seed = torch.Generator().manual_seed(len(answer))
        noise = torch.randn(answer.shape[1:], generator=seed)
        return answer + 0.1 * noise.to(answer)

    change_network(monkeypatch, round_by_width)
    job = make_jobs(sd)[0]
    starter = Bench(sd, dtype="bfloat16").starter
    assert find_fault(starter, job, torch.bfloat16) == ""


@pytest.mark.parametrize(
    ("dtype", "part"), [(torch.float32, 0.5), (torch.bfloat16, 0.0)]
)
def test_an_answer_that_depends_on_the_number_of_rows_is_a_fault(
    sd: str, monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype, part: float
) -> None:
    # Guided calls of one image have two rows.
    change_network(monkeypatch, lambda x: x * part if len(x) > 2 else x)
    starter = Bench(sd, dtype=name_of(dtype)).starter
    fault = find_fault(starter, make_jobs(sd)[0], dtype)
    assert fault
    assert "an image changes with the width of its batch by" in fault


def test_a_timestep_for_all_rows_cannot_be_shared(
    sd: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = "latent_model_input,\n                t,"
    change_pipeline(monkeypatch, {line: line.replace(" t,", " t[None],")})
    job = make_jobs(sd, guidance=2.3)[0]
    assert find_fault(Bench(sd).starter, job, torch.float32) == (
        "it passes a timestep for all rows, which differs from job to job"
    )


def test_jobs_whose_calls_never_meet_cannot_share_them(
    sd: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = "cross_attention_kwargs=self.cross_attention_kwargs,"
    own = line.replace("self.cross_attention_kwargs", '{"own": object()}')
    change_pipeline(monkeypatch, {line: own})
    job = make_jobs(sd, guidance=2.3)[0]
    assert find_fault(Bench(sd).starter, job, torch.float32) == (
        "calls of equal jobs cannot be merged"
    )


def test_nothing_is_known_of_a_pipeline_that_paints_nothing(sd: str) -> None:
    job = replace(make_jobs(sd, guidance=2.3)[0], width=63)
    assert find_fault(Bench(sd).starter, job, torch.float32) is None


def test_a_pipeline_that_cannot_take_one_step_is_checked_with_more(
    sd: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = "timesteps, num_inference_steps = retrieve_timesteps("
    refusal = "assert num_inference_steps > 1"
    change_pipeline(monkeypatch, {line: f"{refusal}\n    {line}"})
    assert find_fault(Bench(sd).starter, make_jobs(sd)[0], torch.float32) == ""


@pytest.mark.parametrize("guidance", [1.0, 2.3])
def test_the_check_does_not_depend_on_the_first_jobs_scheduler(
    sd: str, guidance: float
) -> None:
    # It refuses its options, or so few steps.
    both = {"use_karras_sigmas": True, "use_beta_sigmas": True}
    job = make_job("euler", model=sd, scheduler_options=both, guidance=guidance)
    job = replace(job, scheduler_class="NoSuchScheduler")
    assert find_fault(Bench(sd).starter, job, torch.float32) == ""
