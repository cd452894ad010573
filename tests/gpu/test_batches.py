"""Mixed batches on a GPU: exact, without a wait inside a step, and within memory."""

import math
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import torch

from storage import schedulers
from storage.job import Job
from tests.batches import Bench, make_job, make_various
from tests.work import Basket, Notes, paint
from workers.painting import Painting
from workers.slot import Slot
from workers.torch_painter import TorchPainter

DEVICE = "cuda:0"
NAMES = [row.name for row in schedulers.rows("sd")]
#: Those that draw no noise: theirs may come from the CPU.
STEADY = [
    name
    for name in NAMES
    if schedulers.is_deterministic(
        schedulers.resolve(name).class_name,
        schedulers.resolve(name).options,
        schedulers.resolve(name).extras,
    )
]
WIDTH = 8


@cache
def bench_of(dtype: str) -> Bench:
    return Bench("builtin:shapes", dtype=dtype, device=DEVICE)


@pytest.fixture
def notes() -> Notes:
    return Notes(WIDTH)


@pytest.fixture
def painter(tmp_path: Path, notes: Notes) -> TorchPainter:
    digests = tmp_path / "digests.json"
    return TorchPainter(DEVICE, threads=1, digests=digests, widths=notes)


@pytest.mark.parametrize("generator", ["cpu", "cuda"])
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_a_mixed_image_is_that_of_the_same_slot_of_an_ordinary_batch(
    dtype: str, generator: str
) -> None:
    bench = bench_of(dtype)
    jobs = make_various(NAMES, dtype=dtype, generator=generator)
    made, basket = bench.mixed(jobs, WIDTH)
    assert not basket.failures
    wrong = []
    for name, job in zip(NAMES, jobs, strict=True):
        slot = made[job.key].slot
        assert slot
        if not made[job.key].equals(bench.ordinary(slot)):
            wrong.append(name)
    assert not wrong


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_batch_of_one_is_a_plain_script(dtype: str) -> None:
    bench = bench_of(dtype)
    jobs = make_various(NAMES, dtype=dtype)
    wrong = [
        name
        for name, job in zip(NAMES, jobs, strict=True)
        if not bench.mixed([job], 1)[0][job.key].equals(bench.plain(job))
    ]
    assert not wrong


@pytest.mark.parametrize("name", STEADY)
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_no_step_waits_for_the_gpu(name: str, dtype: str) -> None:
    bench = bench_of(dtype)
    jobs = [make_job(name, dtype=dtype, seed=seed, steps=6) for seed in range(WIDTH)]
    # Texts are known, kernels chosen, and coefficients computed.
    bench.mixed(jobs, WIDTH)
    done: list[Slot] = []
    slots = bench.slots(WIDTH, lambda slot, _latents: done.append(slot))
    between = Between(jobs)
    slots.run(between.gather(WIDTH), between)
    torch.cuda.set_sync_debug_mode("default")
    assert len(done) == WIDTH
    assert between.steps > 5


class Between(Basket):
    """Work that forbids waiting from the first step on.

    The first filling may wait: noise of a CPU generator comes over.
    """

    steps = 0

    def __init__(self, jobs: list[Job]) -> None:
        super().__init__(*jobs, check=self.forbid)

    def forbid(self) -> None:
        self.steps += 1
        torch.cuda.set_sync_debug_mode("error")


@pytest.fixture(autouse=True)
def _waiting_is_allowed() -> Iterator[None]:
    yield
    torch.cuda.set_sync_debug_mode("default")


def test_a_refill_from_the_gpus_generator_does_not_wait() -> None:
    bench = bench_of("float16")
    jobs = [
        make_job(
            ("ddim", "euler", "dpmpp_2m")[seed % 3],
            dtype="float16",
            generator="cuda",
            seed=seed,
            steps=2 + seed % 3,
        )
        for seed in range(3 * WIDTH)
    ]
    bench.mixed(jobs, WIDTH)
    done: list[Slot] = []
    slots = bench.slots(WIDTH, lambda slot, _latents: done.append(slot))
    between = Between(jobs)
    slots.run(between.gather(WIDTH), between)
    assert len(done) == len(jobs)


def run(painter: TorchPainter, jobs: list[Job]) -> Basket:
    basket = Basket(*jobs)
    painter.paint(basket)
    basket.develop()
    assert not basket.waiting
    assert not basket.in_hand
    assert not basket.failures
    return basket


def test_memory_and_time_of_each_job_are_recorded(painter: TorchPainter) -> None:
    jobs = make_various(NAMES[:WIDTH] * 2, dtype="float16")
    made: list[Painting] = paint(painter, *jobs)
    assert all(each.peak_bytes and each.peak_bytes > 10_000_000 for each in made)
    assert {each.batch_width for each in made} == {WIDTH}
    for each in made:
        assert 0 < each.denoise_s < math.inf
        assert 0 < each.decode_s < math.inf
        assert 0 <= each.encode_s < math.inf


def test_real_lack_of_memory_halves_the_width(
    painter: TorchPainter, notes: Notes
) -> None:
    jobs = [
        make_job(seed=seed, steps=2, width=512, height=512, dtype="float32")
        for seed in range(2 * WIDTH)
    ]
    notes.width = 1
    alone = run(painter, jobs[:1]).paintings[jobs[0].key].peak_bytes
    assert alone
    # Room for two images or three, not for eight.
    room = torch.cuda.get_device_properties(0).total_memory
    notes.width = WIDTH
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(2.5 * alone / room)
    try:
        basket = run(painter, jobs)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert basket.paintings.keys() == {job.key for job in jobs}
    assert notes.noted
    assert notes.width
    assert 1 <= notes.width < WIDTH
    assert {each.batch_width for each in basket.paintings.values()} == {notes.width}
