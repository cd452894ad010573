"""Mixed batches on a GPU: exact, without a wait inside a step, and within memory."""

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from storage.catalogue import schedulers
from storage.job import Job
from tests.batches import Bench, check_compiled, make_job, make_various
from tests.gpu.conftest import watch_waits
from tests.shortage import check_a_batch_is_halved
from tests.work import Basket, Notes, paint
from workers.engine.runs import Run
from workers.engine.torch_painter import TorchPainter
from workers.painting import Painting

DEVICE = "cuda:0"
ROWS = schedulers.rows("sd")
NAMES = [row.name for row in ROWS]
#: Those that draw no noise: theirs may come from the CPU.
STEADY = [row.name for row in ROWS if row.is_deterministic]
WIDTH = 8
#: Solves small systems on the device, and `torch.linalg.solve` asks it whether that
#: worked. On a CPU the results have other bits.
WAITS = pytest.mark.xfail(raises=RuntimeError, reason="UniPC waits for the GPU")


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
def test_a_mixed_image_is_that_of_the_same_row_of_an_ordinary_batch(
    dtype: str, generator: str
) -> None:
    bench = bench_of(dtype)
    jobs = make_various(NAMES, dtype=dtype, generator=generator)
    made, basket = bench.mixed(jobs, WIDTH)
    assert not basket.failures
    wrong = []
    for name, job in zip(NAMES, jobs, strict=True):
        run = made[job.key].run
        assert run
        if not made[job.key].equals(bench.ordinary(run)):
            wrong.append(name)
    assert not wrong


# torch about its own compiler.
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_a_compiled_image_is_that_of_the_same_row_of_a_compiled_batch(
    dtype: str,
) -> None:
    bench = bench_of(dtype)
    jobs = make_various(NAMES, dtype=dtype)
    with bench.with_compiled():
        check_compiled(bench, jobs, WIDTH)


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


def waiting_marked(names: list[str]) -> list[Any]:
    return [
        pytest.param(name, marks=WAITS)
        if schedulers.resolve(name).class_name == "UniPCMultistepScheduler"
        else name
        for name in names
    ]


@pytest.mark.parametrize("name", waiting_marked(STEADY))
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_no_step_waits_for_the_gpu(name: str, dtype: str) -> None:
    bench = bench_of(dtype)
    jobs = [make_job(name, dtype=dtype, seed=seed, steps=6) for seed in range(WIDTH)]
    # Texts are known, kernels chosen, and coefficients computed.
    bench.mixed(jobs, WIDTH)
    done: list[Run] = []
    between = Between(jobs)
    first = between.gather(WIDTH)
    bench.hub(first, between, WIDTH, finish=done.append, fail=between.fail).run()
    watch_waits("default")
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
        watch_waits("error")


@pytest.fixture(autouse=True)
def _waiting_is_allowed() -> Iterator[None]:
    yield
    watch_waits("default")


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
    done: list[Run] = []
    between = Between(jobs)
    first = between.gather(WIDTH)
    bench.hub(first, between, WIDTH, finish=done.append, fail=between.fail).run()
    assert len(done) == len(jobs)


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
    painter: TorchPainter,
    notes: Notes,
    limited: Callable[[int], AbstractContextManager[None]],
) -> None:
    def peak_of(basket: Basket) -> int:
        return max(made.peak_bytes or 0 for made in basket.paintings.values())

    large = {"width": 512, "height": 512, "dtype": "float32", "steps": 2}
    check_a_batch_is_halved(painter, notes, peak_of=peak_of, limited=limited, **large)


def test_text_encoders_leave_the_gpu_and_change_nothing() -> None:
    bench = bench_of("float16")
    jobs = [make_job("ddim", dtype="float16", seed=seed) for seed in range(WIDTH)]
    made, _ = bench.mixed(jobs, WIDTH)
    bench.starter.forget_texts()
    before = torch.cuda.memory_allocated()
    assert bench.starter.spare_encoders()
    assert torch.cuda.memory_allocated() < before
    again, _ = bench.mixed(jobs, WIDTH)
    assert all(torch.equal(again[key].pixels, made[key].pixels) for key in made)
