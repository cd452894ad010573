"""Mixed batches of Stable Diffusion: exact, whoever else is in them."""

import itertools
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from storage.catalogue import schedulers
from storage.errors import JobError
from storage.job import Job
from tests.batches import Bench, Made, make_job, make_various
from tests.matrices import sample
from tests.tiny_pipelines import make_sd
from tests.work import Basket
from workers.engine.runs import Run
from workers.painting import StoppedError
from workers.vitals import phases

NAMES = [row.name for row in schedulers.rows("sd")]
#: One of each way to use what is handed to a step: its own noise, former answers,
#: a scaled input, two calls a step.
KINDS = ("euler_a", "dpmpp_3m", "lms", "heun", "pndm", "dpmpp_sde")
#: All share a batch, and one of each way is compared. A CPU is slow at half precision;
#: `test_pipelines` has some of it.
CASES = sample(
    itertools.product(("float32", "float16", "bfloat16"), NAMES),
    {("float32", name) for name in (*KINDS, *NAMES[::9])},
    quick={("float32", name) for name in KINDS},
)
#: Noise of its own and two calls a step, and former answers.
HARDEST = ("dpmpp_sde", "dpmpp_3m")
SURROUNDINGS = ("others", "short ones", "no more", "failing ones")
pytestmark = pytest.mark.usefixtures("one_thread")
WIDTH = 4

BOTH_SIGMAS = {"use_karras_sigmas": True, "use_beta_sigmas": True}
SINGULAR = {"solver_order": 3, "lower_order_final": False}
NOT_A_NUMBER = {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}


@pytest.fixture(scope="module")
def sd(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(make_sd(tmp_path_factory.mktemp("models") / "sd"))


def bench_of(model: str, dtype: str = "float32") -> Bench:
    return load_bench(model, dtype)


@cache
def load_bench(model: str, dtype: str) -> Bench:
    return Bench(model, dtype=dtype)


@cache
def mix_all(model: str, dtype: str) -> list[Made]:
    """Make an image with each scheduler, in one batch that is filled anew."""
    jobs = make_various(NAMES, model=model, dtype=dtype)
    made, basket = bench_of(model, dtype).mixed(jobs, WIDTH)
    assert not basket.failures
    return [made[job.key] for job in jobs]


@pytest.mark.long
@pytest.mark.parametrize(("dtype", "name"), CASES)
def test_a_mixed_image_is_that_of_the_same_row_of_an_ordinary_batch(
    sd: str, dtype: str, name: str
) -> None:
    made = mix_all(sd, dtype)[NAMES.index(name)]
    assert made.run
    assert made.run.width == WIDTH
    assert made.run.taken == made.run.steps
    assert made.equals(bench_of(sd, dtype).ordinary(made.run))


@pytest.mark.long
def test_every_row_had_many_schedulers(sd: str) -> None:
    rows = [made.run.row for made in mix_all(sd, "float32") if made.run]
    assert all(rows.count(index) > 4 for index in range(WIDTH))


@pytest.mark.parametrize(("dtype", "name"), CASES)
def test_a_batch_of_one_is_a_plain_script(sd: str, dtype: str, name: str) -> None:
    check_alone(sd, make_job(name, model=sd, dtype=dtype, guidance=7.3))


@pytest.mark.parametrize(
    "changes",
    [
        {"guidance": 1.0},
        {"guidance": 0.5},
        {"extras": {"eta": 0.3}},
        {"extras": {"clip_skip": 1}},
        {"negative_prompt": "two dogs"},
        {"width": 72, "height": 56},
        {"prompt": ""},
    ],
    ids=str,
)
def test_a_batch_of_one_is_a_plain_script_with_every_parameter(
    sd: str, changes: dict[str, Any]
) -> None:
    check_alone(sd, make_job("ddim", model=sd, **changes))


@pytest.mark.parametrize("name", ["ddim", "dpmpp_2m_karras", "dpmpp_sde", "unipc"])
def test_the_demo_model_alone_is_a_plain_script_too(name: str) -> None:
    check_alone("builtin:shapes", make_job(name, guidance=2.3))


def check_alone(model: str, job: Job) -> None:
    bench = bench_of(model, job.dtype)
    made, _ = bench.mixed([job], 1)
    assert made[job.key].equals(bench.plain(job))


def test_the_demo_model_mixes_exactly() -> None:
    bench = bench_of("builtin:shapes")
    jobs = make_various(KINDS[::2])
    made, _ = bench.mixed(jobs, len(jobs))
    runs = [made[job.key].run for job in jobs]
    assert all(made[run.job.key].equals(bench.ordinary(run)) for run in runs if run)


@pytest.mark.parametrize(("guidance", "rows"), [(1.0, 4), (0.0, 4), (2.3, 8)])
def test_the_network_sees_the_unconditional_rows_only_where_they_count(
    sd: str, guidance: float, rows: int
) -> None:
    bench = bench_of(sd)
    seen: list[tuple[int, ...]] = []
    hook = bench.pipe.unet.register_forward_pre_hook(
        lambda _unet, given: seen.append(tuple(given[0].shape))
    )
    jobs = [
        make_job(name, model=sd, guidance=guidance, seed=seed, negative_prompt="red")
        for seed, name in enumerate(KINDS)
    ]
    made, _ = bench.mixed(jobs, 4)
    hook.remove()
    assert set(seen) == {(rows, 4, 8, 8)}
    run = made[jobs[0].key].run
    assert run
    assert made[jobs[0].key].equals(bench.ordinary(run))


def test_guidance_in_the_network_is_one_for_all_rows(tmp_path: Path) -> None:
    model = str(make_sd(tmp_path / "sd", time_cond_proj_dim=8))
    bench = bench_of(model)
    jobs = [
        make_job(name, model=model, guidance=7.3, seed=seed)
        for seed, name in enumerate(KINDS)
    ]
    assert jobs[0].model.embeds_guidance
    made, _ = bench.mixed(jobs, 4)
    runs = [made[job.key].run for job in jobs]
    assert all(made[run.job.key].equals(bench.ordinary(run)) for run in runs if run)
    check_alone(model, jobs[0])


def surroundings(model: str) -> dict[str, tuple[list[Job], list[Job], int]]:
    """Give jobs before and after the one in row 1, and the width's use."""
    others = make_various(NAMES[::9], model=model)
    short = [replace(job, steps=2 + place) for place, job in enumerate(others)]
    bad = [
        make_job("euler", model=model, scheduler_options=BOTH_SIGMAS),
        make_job("unipc", model=model, scheduler_options=SINGULAR, steps=5),
        make_job("ddim", model=model, scheduler_options=NOT_A_NUMBER, steps=3),
        make_job("ddim", model=model, scheduler_options={"timestep_spacing": "no"}),
    ]
    return {
        "others": (others[:1], others[1:], WIDTH),
        "short ones": (short[:1], short[1:], WIDTH),
        "no more": (others[:1], [], 2),
        "failing ones": (others[:1], bad, WIDTH),
    }


@pytest.mark.parametrize(
    ("around", "name"),
    sample(
        itertools.product(SURROUNDINGS, KINDS),
        {("failing ones", name) for name in KINDS}
        | {(around, HARDEST[0]) for around in SURROUNDINGS},
        quick={(around, HARDEST[0]) for around in SURROUNDINGS},
    ),
)
def test_a_job_does_not_depend_on_its_neighbours(
    sd: str, around: str, name: str
) -> None:
    job = make_job(name, model=sd, seed=77, steps=6)
    before, after, count = surroundings(sd)[around]
    jobs = [*before, job, *after]
    source = Basket(*jobs[count:])
    made = run_from(bench_of(sd), jobs[:count], source)
    assert made.run
    assert made.run.row == 1
    assert made.equals(ordinary_of(sd, made.run))


#: Results of ordinary batches, by the job's key, their width, and the job's row.
ORDINARY: dict[tuple[str, int, int], Made] = {}


def ordinary_of(model: str, run: Run) -> Made:
    """Make a run's job in an ordinary batch, once."""
    seat = (run.job.key, run.width, run.row)
    if seat not in ORDINARY:
        ORDINARY[seat] = bench_of(model).ordinary(run)
    return ORDINARY[seat]


def run_from(bench: Bench, first: list[Job], source: Basket) -> Made:
    """Run a batch of `WIDTH` rows that may not be full; give the job of seed 77."""
    found: list[Made] = []

    def finish(run: Run) -> None:
        source.in_hand.remove(run.job)
        if run.job.seed == 77:
            assert run.pixels is not None
            found.append(Made(pixels=run.pixels, run=run))

    source.in_hand += first
    bench.hub(first, source, WIDTH, finish=finish, fail=source.fail).run()
    assert not source.in_hand
    return found[0]


@pytest.mark.parametrize("name", sample(KINDS, HARDEST, quick=HARDEST[:1]))
def test_rows_that_are_not_wanted_any_more_make_room_and_harm_nobody(
    sd: str, name: str
) -> None:
    job = make_job(name, model=sd, seed=77, steps=6)
    others = make_various(NAMES[::5], model=sd)
    steps = 0

    def cancel() -> None:
        nonlocal steps
        steps += 1
        if steps == 3:
            source.unwanted = {others[0].key, others[1].key}

    long = [replace(each, steps=50) for each in others[:2]]
    others[:2] = long
    source = Basket(*others[2:], check=cancel)
    made = run_from(bench_of(sd), [long[0], job, long[1]], source)
    assert source.withdrawn == long
    assert steps < 50
    assert not source.waiting
    assert made.run
    assert made.equals(ordinary_of(sd, made.run))


def test_a_batch_that_nobody_wants_any_more_ends_before_its_next_call(sd: str) -> None:
    jobs = make_various(NAMES[:2], model=sd)
    source = Basket(*jobs)
    source.unwanted = {job.key for job in jobs}
    first = source.gather(2)
    hub = bench_of(sd).hub(
        first,
        source,
        WIDTH,
        finish=lambda _: pytest.fail("none is finished"),
        fail=source.fail,
    )
    own = bench_of(sd).tally.calls
    hub.run()
    assert bench_of(sd).tally.calls == own
    assert (hub.jobs, source.in_hand) == ([], [])


@pytest.mark.parametrize("name", sample(KINDS, HARDEST, quick=HARDEST[:1]))
def test_a_job_does_not_depend_on_when_its_row_was_filled(sd: str, name: str) -> None:
    late = make_job(name, model=sd, seed=77, steps=5)
    made = []
    for steps in (2, 3, 7):
        first = [
            make_job("ddim", model=sd, seed=seed, steps=14 if seed else steps)
            for seed in range(WIDTH)
        ]
        made.append(run_from(bench_of(sd), first, Basket(late)))
    assert [each.run.row for each in made if each.run] == [0, 0, 0]
    assert made[0].equals(made[1])
    assert made[0].equals(made[2])


@pytest.mark.parametrize(
    ("name", "options", "told"),
    [
        ("euler", BOTH_SIGMAS, "EulerDiscreteScheduler cannot be made with"),
        ("ddim", {"timestep_spacing": "no"}, "4 steps, but fails: ValueError"),
        ("unipc", SINGULAR, "UniPCMultistepScheduler, .* fails: _LinAlgError"),
    ],
)
def test_a_job_whose_scheduler_fails_is_told_and_the_rest_are_made(
    sd: str, name: str, options: dict[str, Any], told: str
) -> None:
    bad = make_job(name, model=sd, scheduler_options=options)
    jobs = make_various(KINDS, model=sd)
    made, basket = bench_of(sd).mixed([*jobs[:2], bad, *jobs[2:]], WIDTH)
    assert list(basket.failures) == [bad.key]
    with pytest.raises(JobError, match=told):
        raise basket.failures[bad.key]
    assert made.keys() == {job.key for job in jobs}


def test_a_batch_of_failing_jobs_ends(sd: str) -> None:
    bad = [
        make_job(name, model=sd, scheduler_options=options, seed=seed)
        for seed in range(3)
        for name, options in (("unipc", SINGULAR), ("euler", BOTH_SIGMAS))
    ]
    made, basket = bench_of(sd).mixed(bad, 2)
    assert not made
    assert basket.failures.keys() == {job.key for job in bad}


def test_the_rows_of_numbers_are_not_harmed_by_one_that_is_not(sd: str) -> None:
    bad = make_job("ddim", model=sd, scheduler_options=NOT_A_NUMBER)
    jobs = make_various(KINDS, model=sd)
    made, _ = bench_of(sd).mixed([*jobs[:2], bad, *jobs[2:]], WIDTH)
    runs = [made[job.key].run for job in jobs]
    assert not made[bad.key].pixels.isfinite().all()
    ordinary = bench_of(sd).ordinary
    assert all(made[run.job.key].equals(ordinary(run)) for run in runs if run)


@pytest.mark.parametrize(
    "raised", [torch.OutOfMemoryError("full"), StoppedError(), RuntimeError("other")]
)
def test_after_an_error_the_jobs_in_hand_are_known_and_the_pipeline_is_whole(
    sd: str, raised: Exception
) -> None:
    bench = bench_of(sd)
    own = bench.pipe.scheduler
    jobs = make_various(NAMES[:6], model=sd)
    finished: list[Job] = []
    calls = 0

    def fail(*_args: object) -> None:
        nonlocal calls
        calls += 1
        if calls == 6:
            raise raised

    basket = Basket(*jobs)
    hub = bench.hub(
        basket.gather(WIDTH),
        basket,
        WIDTH,
        finish=lambda run: finished.append(run.job),
        fail=basket.fail,
    )
    hook = bench.pipe.unet.register_forward_pre_hook(fail)
    with pytest.raises(type(raised)):
        hub.run()
    hook.remove()
    assert finished
    in_hand = {job.key for job in basket.in_hand} - {job.key for job in finished}
    assert {job.key for job in hub.jobs} == in_hand
    assert bench.pipe.scheduler is own
    check_alone(sd, jobs[0])


def test_the_steps_of_all_rows_are_told(
    sd: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[float, int]] = []
    monkeypatch.setattr(
        phases, "get_to", lambda part, *, rows: told.append((part, rows))
    )
    kinds = (("ddim", 2), ("euler", 4))
    jobs = [make_job(name, model=sd, steps=steps) for name, steps in kinds]
    bench_of(sd).mixed(jobs, WIDTH)
    # Two rows; the first is free after two steps.
    assert told == [(0.5 + 0.25, 2), (0.5, 1), (0.75, 1), (0.0, 0)]


def test_rows_that_serve_no_job_are_counted(sd: str) -> None:
    bench = Bench(sd)
    jobs = [make_job(model=sd, steps=steps, seed=steps) for steps in (1, 2, 4)]
    bench.mixed(jobs, 4)
    assert (bench.tally.calls, bench.tally.rows, bench.tally.useful) == (4, 16, 7)
    assert bench.tally.occupancy == 7 / 16


def test_a_job_shares_the_networks_time_with_its_neighbours(sd: str) -> None:
    bench = Bench(sd)
    jobs = [make_job("heun", model=sd, steps=steps, seed=steps) for steps in (2, 3)]
    made, _ = bench.mixed(jobs, 2)
    short, long = (made[job.key].run for job in jobs)
    assert short
    assert long
    # One span of the network and one of the scheduler for each call.
    assert [served for *_, served in short.shares] == [2, 1] * 3
    assert [served for *_, served in long.shares] == [2, 1] * 3 + [1, 1] * 2
    assert all(began <= ended for began, ended, _ in long.shares)
