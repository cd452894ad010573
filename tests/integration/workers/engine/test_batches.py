"""The torch painter, many jobs at a time: widths, memory, stops, and its records."""

import math
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import UNet2DConditionModel
from torch.nn.modules.module import register_module_forward_pre_hook
from transformers import CLIPTextModel

from storage.errors import DeviceError, JobError, NonFiniteError, UnfitError
from storage.job import Job
from tests.batches import Bench, check_compiled, make_job, make_various
from tests.shortage import check_a_batch_is_halved
from tests.tiny_pipelines import make_sd, make_sdxl
from tests.work import Basket, Notes, paint, run
from workers.engine import pipelines, torch_painter
from workers.engine.batches import CPU_WIDTH
from workers.engine.clock import Clock
from workers.engine.compiling import DETAIL
from workers.engine.sharing_check import find_fault
from workers.engine.starter import Starter
from workers.engine.torch_painter import TorchPainter
from workers.painting import StoppedError

NAMES = ("ddim", "heun", "euler_a", "dpmpp_2m", "pndm", "unipc")
NOT_A_NUMBER = {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}


@pytest.fixture(autouse=True, scope="module")
def _checked_once() -> Iterator[None]:
    """Check each model once, not for each painter: it takes longer than most tests.

    `test_wrong_pipelines.py` tests the check.
    """
    known: dict[tuple[str, torch.dtype], str | None] = {}

    def look_up(starter: Starter, job: Job, dtype: torch.dtype) -> str | None:
        key = (job.model.fingerprint, dtype)
        if key not in known:
            known[key] = find_fault(starter, job, dtype)
        return known[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch_painter, "find_fault", look_up)
        yield


@pytest.fixture(scope="module")
def sd(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(make_sd(tmp_path_factory.mktemp("models") / "sd"))


@pytest.fixture
def notes() -> Notes:
    return Notes()


@pytest.fixture
def painter(tmp_path: Path, notes: Notes) -> TorchPainter:
    digests = tmp_path / "digests.json"
    return TorchPainter("cpu", threads=1, digests=digests, widths=notes)


@pytest.fixture
def ready(painter: TorchPainter, sd: str) -> TorchPainter:
    """Return a painter that has loaded the model, and knows that its calls merge."""
    paint(painter, make_job(model=sd, steps=1))
    return painter


@contextmanager
def before_each(kind: Any, look: Callable[[Any], None]) -> Iterator[None]:
    """Call `look` with the network before each of its calls."""

    def see(network: Any, given: Any) -> None:
        if isinstance(network, kind):
            look(given)

    hook = register_module_forward_pre_hook(see)
    try:
        yield
    finally:
        hook.remove()


def allow(rows: int) -> Callable[[Any], None]:
    """Make memory end where the network gets more rows, on the third time."""
    calls = 0

    def look(given: Any) -> None:
        nonlocal calls
        calls += len(given[0]) > rows
        if calls > 2:
            calls = 0
            msg = "full"
            raise torch.OutOfMemoryError(msg)

    return look


def images(basket: Basket) -> dict[str, bytes]:
    return {key: made.image.tobytes() for key, made in basket.paintings.items()}


def test_a_painting_tells_how_it_was_made(painter: TorchPainter, sd: str) -> None:
    jobs = make_various(NAMES[:3], model=sd)
    paintings = paint(painter, *jobs)
    assert {made.engine for made in paintings} == {"slots"}
    # The least power of two that holds them all.
    assert {made.batch_width for made in paintings} == {4}
    assert [made.slot for made in paintings] == [0, 1, 2]
    assert {made.decode_dtype for made in paintings} == {"float32"}
    assert [made.evaluations for made in paintings] == [4, 9, 6]
    assert {made.image.size for made in paintings} == {(64, 64)}
    assert {made.peak_bytes for made in paintings} == {None}


def test_what_nobody_wants_any_more_makes_room_in_narrow_batches_too(
    painter: TorchPainter, sd: str
) -> None:
    jobs = [make_job(model=sd, seed=seed, steps=9) for seed in range(3)]
    steps = 0

    def cancel() -> None:
        nonlocal steps
        steps += 1
        if steps == 2:
            basket.unwanted = {jobs[0].key, jobs[2].key}

    basket = Basket(*jobs, check=cancel)
    painter.paint(basket)
    basket.fetch()
    assert basket.withdrawn == [jobs[0], jobs[2]]
    assert basket.paintings.keys() == {jobs[1].key}
    assert (basket.waiting, basket.in_hand) == (deque(), [])


def test_a_batch_is_no_wider_than_a_cpu_likes(painter: TorchPainter, sd: str) -> None:
    jobs = [make_job(model=sd, seed=seed, steps=1) for seed in range(CPU_WIDTH + 3)]
    basket = run(painter, jobs)
    assert basket.expected == [CPU_WIDTH]
    widths = [made.batch_width for made in basket.paintings.values()]
    # All rows of the first batch end at once, so the rest gets a narrow one.
    assert widths == [CPU_WIDTH] * CPU_WIDTH + [4] * 3
    assert painter.tally.calls == 2


def test_a_width_that_is_known_is_used(
    painter: TorchPainter, notes: Notes, sd: str
) -> None:
    notes.width = 2
    basket = run(painter, make_various(NAMES, model=sd))
    assert basket.expected == [2]
    assert {made.batch_width for made in basket.paintings.values()} == {2}
    assert {made.slot for made in basket.paintings.values()} == {0, 1}


def test_a_batch_that_does_not_fit_is_halved_and_nothing_is_lost(
    painter: TorchPainter, notes: Notes, sd: str
) -> None:
    jobs = make_various(NAMES, model=sd)
    notes.width = 8
    with before_each(UNet2DConditionModel, allow(rows=4)):
        basket = run(painter, jobs)
    # Of the rows that the network gets, half are without the prompt.
    assert notes.noted == [
        {"width": 4, "reason": "memory"},
        {"width": 2, "reason": "memory"},
    ]
    assert basket.expected == [8, 4, 2]
    assert basket.paintings.keys() == {job.key for job in jobs}
    assert {made.batch_width for made in basket.paintings.values()} == {2}
    again = {job.key for back in basket.put_backs for job in back}
    assert again <= {job.key for job in jobs}
    assert images(basket) == images(run(painter, jobs))


def test_a_batch_that_did_not_fit_leaves_memory_before_the_next_one(
    ready: TorchPainter, notes: Notes, sd: str
) -> None:
    given: list[weakref.ref[torch.Tensor]] = []

    def look(asked: Any) -> None:
        assert not [each for each in given if each() is not None]
        if len(asked[0]) > 2:
            given.append(weakref.ref(asked[0]))
            raise torch.OutOfMemoryError

    notes.width = 4
    # What was logged is kept to the end of a test, with all that was given.
    with before_each(UNet2DConditionModel, look):
        run(ready, make_various(NAMES[:4], model=sd))
    assert len(given) == 2


def test_how_wide_is_too_wide_is_measured(
    painter: TorchPainter, notes: Notes, sd: str
) -> None:
    """Try the check that runs on a GPU, where the decoder takes 400 bytes, a row 50."""

    def peak_of(basket: Basket) -> int:
        return max(400, 50 * len(basket.paintings))

    def limited(size_bytes: int) -> AbstractContextManager[object]:
        return before_each(UNet2DConditionModel, allow(rows=2 * size_bytes // 50))

    changes = {"model": sd, "steps": 3}
    check_a_batch_is_halved(painter, notes, peak_of=peak_of, limited=limited, **changes)
    assert notes.noted == [{"width": 8, "reason": "memory"}]


def test_what_was_finished_before_memory_ended_is_not_made_again(
    ready: TorchPainter, notes: Notes, sd: str
) -> None:
    jobs = [make_job(model=sd, seed=seed, steps=1 + 4 * seed) for seed in range(2)]
    with before_each(UNet2DConditionModel, allow(rows=2)):
        basket = run(ready, jobs)
    assert [[job.seed for job in back] for back in basket.put_backs] == [[1]]
    widths = [basket.paintings[job.key].batch_width for job in jobs]
    assert widths == [2, 1]
    assert notes.width == 1


def test_one_image_that_does_not_fit_is_for_a_larger_gpu(
    painter: TorchPainter, sd: str
) -> None:
    basket = Basket(*make_various(NAMES[:2], model=sd))
    with (
        before_each(UNet2DConditionModel, allow(rows=0)),
        pytest.raises(UnfitError) as raised,
    ):
        painter.paint(basket)
    assert str(raised.value) == (
        "one image must fit into memory beside its model, but does not; use a GPU or a "
        "machine with more memory"
    )
    assert len(basket.waiting) == 2
    assert not basket.in_hand


@pytest.mark.long
def test_other_models_leave_before_a_batch_is_halved(
    painter: TorchPainter, notes: Notes, sd: str, tmp_path: Path
) -> None:
    other = make_job(model=str(make_sdxl(tmp_path / "sdxl")))
    paint(painter, other)
    jobs = make_various(NAMES[:4], model=sd)
    with before_each(UNet2DConditionModel, fail_once()):
        basket = run(painter, jobs)
    assert not notes.noted
    assert basket.expected == [CPU_WIDTH]
    assert len(basket.paintings) == 4
    assert paint(painter, other)[0].load_s > 0


def test_texts_that_nobody_needs_leave_once_before_a_batch_is_halved(
    painter: TorchPainter, notes: Notes, sd: str
) -> None:
    notes.width = 2
    run(painter, make_various(NAMES[:4], model=sd))
    jobs = [make_job(model=sd, prompt="a cat", seed=seed) for seed in range(2)]
    with before_each(UNet2DConditionModel, fail_once()):
        basket = run(painter, jobs)
    assert not notes.noted
    assert basket.expected == [2]
    with before_each(UNet2DConditionModel, allow(rows=2)):
        run(painter, make_various(NAMES[:4], model=sd))
    assert notes.noted == [{"width": 1, "reason": "memory"}]


def fail_once() -> Callable[[Any], None]:
    errors = [torch.OutOfMemoryError("full")]

    def look(_given: Any) -> None:
        if errors:
            raise errors.pop()

    return look


def test_a_stop_ends_a_batch_before_its_next_step(
    painter: TorchPainter, sd: str
) -> None:
    steps = 0

    def stop() -> None:
        nonlocal steps
        steps += 1
        if steps == 4:
            raise StoppedError

    jobs = [make_job(model=sd, seed=seed, steps=2 + 4 * seed) for seed in range(3)]
    basket = Basket(*jobs, check=stop)
    with pytest.raises(StoppedError):
        painter.paint(basket)
    assert steps == 4
    assert [job.seed for job in basket.in_hand] == [1, 2]
    basket.fetch()
    assert list(basket.paintings) == [jobs[0].key]
    # Nothing of them is left over.
    assert images(run(painter, jobs))[jobs[0].key] == images(basket)[jobs[0].key]


def test_a_job_that_fails_leaves_the_others_alone(
    painter: TorchPainter, sd: str
) -> None:
    both = {"use_karras_sigmas": True, "use_beta_sigmas": True}
    bad = make_job("euler", model=sd, scheduler_options=both)
    black = make_job("ddim", model=sd, scheduler_options=NOT_A_NUMBER)
    good = make_various(NAMES[:2], model=sd)
    basket = run(painter, [good[0], bad, black, good[1]])
    assert basket.failures.keys() == {bad.key, black.key}
    with pytest.raises(JobError, match="cannot be made with"):
        raise basket.failures[bad.key]
    with pytest.raises(NonFiniteError, match="gives NaN or infinity"):
        raise basket.failures[black.key]
    assert basket.paintings.keys() == {job.key for job in good}


def test_an_unforeseen_error_leaves_the_jobs_in_hand(
    painter: TorchPainter, sd: str
) -> None:
    jobs = make_various(NAMES[:3], model=sd)
    usual = images(run(painter, jobs))
    basket = Basket(*jobs)

    def fail(_given: Any) -> None:
        raise ZeroDivisionError

    with (
        before_each(UNet2DConditionModel, fail),
        pytest.raises(ZeroDivisionError),
    ):
        painter.paint(basket)
    assert basket.in_hand == jobs
    assert images(run(painter, jobs)) == usual


def test_strict_jobs_go_one_by_one(painter: TorchPainter, sd: str) -> None:
    jobs = make_various(NAMES[:3], model=sd, extras={"strict": True})
    basket = run(painter, jobs)
    assert basket.expected == [1]
    made = [basket.paintings[job.key] for job in jobs]
    assert {each.engine for each in made} == {"plain"}
    assert {(each.batch_width, each.slot) for each in made} == {(1, 0)}
    assert [each.warm_up for each in made] == [True, False, False]
    assert painter.tally.calls == 0


def test_a_strict_job_that_fails_leaves_the_others_alone(
    painter: TorchPainter, sd: str
) -> None:
    strict = {"strict": True}
    bad = make_job(model=sd, scheduler_options=NOT_A_NUMBER, extras=strict)
    good = make_various(NAMES[:2], model=sd, extras=strict)
    basket = run(painter, [good[0], bad, good[1]])
    assert isinstance(basket.failures[bad.key], NonFiniteError)
    assert basket.paintings.keys() == {job.key for job in good}


def test_only_the_first_batch_after_a_load_is_a_warm_up(
    painter: TorchPainter, notes: Notes, sd: str
) -> None:
    notes.width = 2
    jobs = [make_job(model=sd, seed=seed, steps=1 + seed) for seed in range(4)]
    made = paint(painter, *jobs)
    assert [each.warm_up for each in made] == [True, True, False, False]
    assert made[0].load_s > 0
    assert [each.load_s for each in made[1:]] == [0, 0, 0]
    later = paint(painter, make_job(model=sd, seed=9))[0]
    assert (later.warm_up, later.load_s) == (False, 0)


def test_a_stopped_batch_leaves_load_and_warm_up_to_the_next(
    painter: TorchPainter, sd: str
) -> None:
    def stop() -> None:
        raise StoppedError

    with pytest.raises(StoppedError):
        painter.paint(Basket(make_job(model=sd), check=stop))
    made = paint(painter, make_job(model=sd))[0]
    assert made.warm_up
    assert made.load_s > 0


def test_the_seconds_of_jobs_add_up_to_no_more_than_passed(
    painter: TorchPainter, sd: str
) -> None:
    jobs = [make_job(model=sd, seed=seed, steps=3) for seed in range(6)]
    began = time.perf_counter()
    made = paint(painter, *jobs)
    passed = time.perf_counter() - began
    shares = [each.encode_s + each.denoise_s + each.decode_s for each in made]
    assert all(math.isfinite(share) for share in shares)
    assert all(each.denoise_s > 0 for each in made)
    assert all(each.decode_s > 0 for each in made)
    assert sum(shares) + made[0].load_s <= passed


def test_each_pair_of_texts_is_encoded_once(ready: TorchPainter, sd: str) -> None:
    seen: list[int] = []
    texts = ("a cat", "red", "a cat", "two dogs", "red")
    jobs = [
        make_job(model=sd, seed=seed, prompt=text, negative_prompt=negative)
        for seed, text in enumerate(texts)
        for negative in ("", "red")
    ]
    with before_each(CLIPTextModel, lambda _given: seen.append(1)):
        run(ready, jobs)
        run(ready, [make_job(model=sd, seed=99, prompt="two dogs")])
        # Three prompts, each without a negative prompt and with one. The first of these
        # pairs was known.
        assert len(seen) == 2 * (3 * 2 - 1)
        run(ready, [make_job(model=sd, seed=99, prompt="a blue circle")])
    assert len(seen) == 2 * (3 * 2 - 1) + 2


def test_models_stay_while_there_is_room(
    painter: TorchPainter, sd: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = make_job(model=str(make_sdxl(tmp_path / "sdxl")))
    monkeypatch.setattr(pipelines, "SPARE", 0.0)
    jobs = [make_job(model=sd), other, make_job(model=sd), other]
    loads = [paint(painter, job)[0].load_s > 0 for job in jobs]
    assert loads == [True, True, False, False]


def test_pixels_may_be_fetched_when_their_model_is_gone(
    painter: TorchPainter, sd: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipelines, "SPARE", 1.0)
    job = make_job(model=sd)
    usual = paint(painter, job)[0].image.tobytes()
    basket = Basket(job)
    painter.paint(basket)
    paint(painter, make_job(model=str(make_sdxl(tmp_path / "sdxl"))))
    basket.fetch()
    assert basket.paintings[job.key].image.tobytes() == usual


def test_a_model_makes_room_for_the_next_one(
    painter: TorchPainter, sd: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = make_job(model=str(make_sdxl(tmp_path / "sdxl")))
    monkeypatch.setattr(pipelines, "SPARE", 1.0)
    jobs = [make_job(model=sd), make_job(model=sd), other, make_job(model=sd)]
    loads = [paint(painter, job)[0].load_s > 0 for job in jobs]
    assert loads == [True, False, True, True]


@pytest.mark.long
def test_a_batch_that_needs_room_drops_one_model_at_a_time(
    painter: TorchPainter, sd: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipelines, "SPARE", 0.0)
    oldest, other = (
        make_job(model=str(make_sdxl(tmp_path / str(flag), force_upcast=flag)))
        for flag in (True, False)
    )
    for job in (oldest, other, make_job(model=sd)):
        paint(painter, job)
    # Memory ends once.
    ends = iter([True])

    def look(_given: Any) -> None:
        if next(ends, False):
            msg = "full"
            raise torch.OutOfMemoryError(msg)

    with before_each(UNet2DConditionModel, look):
        paint(painter, make_job(model=sd, seed=9))
    loads = [paint(painter, job)[0].load_s > 0 for job in (other, oldest)]
    assert loads == [False, True]


@pytest.mark.slow
@pytest.mark.timeout(900)
# torch about its own compiler.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_compiled_network_is_flagged_recorded_and_not_for_strict_jobs(
    tmp_path: Path, sd: str, notes: Notes
) -> None:
    digests = tmp_path / "digests.json"
    plain = TorchPainter("cpu", threads=1, digests=digests, widths=notes)
    compiled = TorchPainter(
        "cpu", threads=1, digests=digests, widths=notes, compile_networks=True
    )
    jobs = make_various(NAMES[:3], model=sd)
    strict = make_job("ddim", model=sd, extras={"strict": True})
    for before, after in zip(paint(plain, *jobs), paint(compiled, *jobs), strict=True):
        difference = np.asarray(before.image, int) - np.asarray(after.image, int)
        assert np.abs(difference).max() <= 1
        assert after.environment.details["compiled"] == DETAIL
        assert after.warm_up
        # As wide as can be, or it would be compiled for each number of jobs.
        assert after.batch_width == CPU_WIDTH
    assert not any(painting.warm_up for painting in paint(compiled, *jobs))
    (once,), (again,) = paint(plain, strict), paint(compiled, strict)
    assert once.image.tobytes() == again.image.tobytes()
    assert "compiled" not in again.environment.details


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_compiled_image_is_that_of_the_same_row_of_a_compiled_batch() -> None:
    bench = Bench("builtin:shapes")
    with bench.with_compiled():
        check_compiled(bench, make_various(NAMES), CPU_WIDTH)


def test_a_gpu_that_died_behind_the_steps_is_not_the_jobs_fault(
    painter: TorchPainter, sd: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A GPU says so when it is waited for, in the thread that takes the pixels.
    def wait(_clock: Clock, _moment: object) -> None:
        msg = "an illegal memory access was encountered"
        raise torch.AcceleratorError(msg)

    monkeypatch.setattr(Clock, "wait", wait)
    with pytest.raises(DeviceError, match="the device must answer"):
        paint(painter, make_job("ddim", model=sd))
