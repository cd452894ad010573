"""The torch painter: what a job's picture depends on, and what it does not."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from itertools import pairwise, permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from producer.models import describe
from storage import schedulers
from storage.errors import FingerprintError, ModelError, NonFiniteError
from storage.job import Job
from tests import script
from workers.painting import StoppedError
from workers.torch_painter import TorchPainter

PROMPT = "a green square on a white background"
#: Names whose options would leak into the next scheduler if anything could.
RICH = ("euler_karras", "dpmpp_2m_sde_karras", "dpmpp_3m", "unipc_karras", "ddim")


@cache
def card() -> Any:
    return describe("builtin:shapes", base_dir=Path())


def make_job(name: str = "ddim", *, steps: int = 2, **changes: Any) -> Job:
    asked = schedulers.resolve(name)
    config = card().scheduler_config
    return replace(
        Job(
            model=card().model,
            dtype="float32",
            width=64,
            height=64,
            prompt=PROMPT,
            seed=8,
            scheduler_class=asked.class_name,
            scheduler_options=schedulers.effective_options(asked, config),
            steps=steps,
            guidance=2.5,
            extras={"strict": True, **asked.extras},
        ),
        **changes,
    )


def go_on() -> None:
    """Let every step pass."""


@pytest.fixture(scope="module")
def painter(tmp_path_factory: pytest.TempPathFactory) -> TorchPainter:
    digests = tmp_path_factory.mktemp("digests") / "digests.json"
    return TorchPainter("cpu", threads=1, digests=digests)


def pixels(painter: TorchPainter, job: Job, check: Callable[[], None] = go_on) -> bytes:
    return painter.paint(job, check=check).image.tobytes()


def tour(names: tuple[str, ...]) -> list[str]:
    """Give a walk in which each name follows each other one, and itself."""
    edges = {name: [*(n for n in names if n != name), name] for name in names}
    walk, stack = [], [names[0]]
    while stack:
        if edges[stack[-1]]:
            stack.append(edges[stack[-1]].pop())
        else:
            walk.append(stack.pop())
    return walk[::-1]


def check_tour(painter: TorchPainter, names: tuple[str, ...]) -> None:
    walk = tour(names)
    assert set(permutations(names, 2)) <= set(pairwise(walk))
    alone = {}
    for name in names:
        job = make_job(name)
        plain = script.paint(
            job.scheduler_class,
            job.scheduler_options,
            prompt=PROMPT,
            steps=2,
            **{k: v for k, v in job.extras.items() if k != "strict"},
        )
        alone[name] = plain.tobytes()
    for position, name in enumerate(walk):
        assert pixels(painter, make_job(name)) == alone[name], (position, name)


def test_a_job_never_depends_on_the_job_before_it(painter: TorchPainter) -> None:
    check_tour(painter, RICH)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_no_scheduler_of_the_catalogue_depends_on_the_one_before(
    painter: TorchPainter,
) -> None:
    check_tour(painter, tuple(row.name for row in schedulers.rows("sd")))


def test_one_thread_or_two_is_all_that_strict_changes_on_a_cpu(
    painter: TorchPainter,
) -> None:
    strict = painter.paint(make_job(steps=4), check=go_on).image
    loose = painter.paint(make_job(steps=4, extras={}), check=go_on).image
    difference = np.abs(np.asarray(strict, int) - np.asarray(loose, int))
    assert difference.max() <= 1


def test_evaluations_are_counted_and_timed(painter: TorchPainter) -> None:
    painting = painter.paint(make_job("heun", steps=4), check=go_on)
    assert painting.evaluations == 7
    assert painting.image.size == (64, 64)
    phases = (painting.encode_s, painting.denoise_s, painting.decode_s)
    assert all(phase > 0 for phase in phases)


def test_only_the_first_image_after_a_load_is_a_warm_up(tmp_path: Path) -> None:
    fresh = TorchPainter("cpu", threads=1, digests=tmp_path / "digests.json")
    first = fresh.paint(make_job(), check=go_on)
    second = fresh.paint(make_job(), check=go_on)
    assert (first.warm_up, second.warm_up) == (True, False)
    assert first.load_s > 0
    assert second.load_s == 0


def test_the_negative_prompt_and_guidance_change_the_picture(
    painter: TorchPainter,
) -> None:
    plain = pixels(painter, make_job())
    assert pixels(painter, make_job(negative_prompt="a red circle")) != plain
    assert pixels(painter, make_job(guidance=1.0)) != plain
    assert pixels(painter, make_job(seed=9)) != plain


def test_a_stop_takes_effect_at_the_end_of_a_step(painter: TorchPainter) -> None:
    steps = 0

    def stop() -> None:
        nonlocal steps
        steps += 1
        if steps == 3:
            raise StoppedError

    with pytest.raises(StoppedError):
        painter.paint(make_job(steps=20), check=stop)
    assert steps == 3
    alone = script.paint(
        "DDIMScheduler", {}, prompt=PROMPT, steps=2
    )  # nothing of the stopped job is left over
    assert pixels(painter, make_job()) == alone.tobytes()


def test_a_picture_that_is_not_numbers_is_a_failed_job(painter: TorchPainter) -> None:
    options = {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
    with pytest.raises(NonFiniteError, match="gives NaN or infinity"):
        painter.paint(make_job(steps=4, scheduler_options=options), check=go_on)


def test_a_model_whose_files_changed_is_refused(painter: TorchPainter) -> None:
    model = replace(card().model, fingerprint="f" * 32)
    with pytest.raises(FingerprintError, match="must have the files that were planned"):
        painter.paint(make_job(model=model), check=go_on)


def test_a_model_that_is_not_there_is_not_the_jobs_fault(
    painter: TorchPainter, tmp_path: Path
) -> None:
    model = replace(card().model, name=str(tmp_path / "gone"))
    with pytest.raises(ModelError):
        painter.paint(make_job(model=model), check=go_on)


def test_half_precision_and_another_size_work(painter: TorchPainter) -> None:
    painting = painter.paint(
        make_job(dtype="bfloat16", width=72, height=56), check=go_on
    )
    assert painting.image.size == (72, 56)


def test_the_environment_names_versions_and_threads(painter: TorchPainter) -> None:
    details = painter.environment.details
    assert details["torch"].startswith("2.")
    assert details["threads"] == "1"
    assert painter.environment.gpu.startswith("CPU")
