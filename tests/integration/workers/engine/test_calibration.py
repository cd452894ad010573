"""Calibrations of the demo model: measured one at a time, in batches, and stored."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import Any

import psutil
import pytest
import sqlalchemy as sa
import torch
from click.testing import CliRunner
from PIL import Image

from producer.calibration.measuring import measured
from producer.cli import cli
from storage.errors import JobError, NightsweepError, UsageError
from storage.host.environment import Environment
from storage.job import Job, PlannedJob
from storage.jobs import speeds
from storage.jobs.batch_sizes import DatabaseWidths
from storage.sql.database import Database
from storage.sql.schema import widths
from tests.batches import Bench, make_job
from tests.matrices import sample
from tests.processes import PATIENCE_S
from workers.devices.gpu_probe import Gpu
from workers.engine import programs, throughput
from workers.engine.calibration import calibrate, measure_speeds
from workers.engine.programs import choose_device
from workers.engine.throughput import alike_jobs, measure_widths
from workers.painting import Painting

MEASURE = ("calibrate", "builtin:shapes")
SMALL = (
    *("--json", "--device", "cpu"),
    *("--scheduler", "ddim", "--steps", "1", "--images", "3"),
)


def strict(*names: str, **changes: Any) -> list[Job]:
    return [make_job(name, extras={"strict": True}, **changes) for name in names]


def wish(jobs: list[Job], **changes: Any) -> dict[str, Any]:
    values = {"images": 3, "device": "cpu", "widths": False}
    return {**values, "jobs": [asdict(job) for job in jobs], **changes}


@cache
def bench() -> Bench:
    return Bench("builtin:shapes")


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Painter:
    """Paints nothing in no time, and notes what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int, int]] = []

    def __call__(self, job: Job) -> Painting:
        self.asked.append((job.scheduler_class, job.steps, job.seed))
        if job.scheduler_class == "HeunDiscreteScheduler":
            msg = "this one must fail, and does"
            raise JobError(msg)
        return Painting(
            image=Image.new("RGB", (8, 8)),
            environment=Environment(gpu="none", host="test"),
            evaluations=job.steps,
            encode_s=0.25,
            denoise_s=1.0,
            decode_s=0.5,
        )


def test_every_round_makes_each_job_once_after_a_warm_up() -> None:
    jobs = [*strict("ddim", steps=4), *strict("ddim", steps=2), *strict("lms", steps=3)]
    paint, sent = Painter(), []
    counted = measure_speeds(paint, jobs, images=2, send=sent.append)
    ddim, lms = "DDIMScheduler", "LMSDiscreteScheduler"
    warm_up, measured_ones = paint.asked[:2], paint.asked[2:]
    assert [asked[:2] for asked in warm_up] == [(ddim, 2), (lms, 3)]
    assert measured_ones == [
        (name, steps, seed)
        for seed in (0, 1)
        for name, steps in ((ddim, 4), (ddim, 2), (lms, 3))
    ]
    assert [result["job"] for result in sent] == [0, 1, 2, 0, 1, 2]
    assert {result["seconds"] for result in sent} == {1.75}
    assert counted == {0: 4, 1: 2, 2: 3}


def test_a_job_that_fails_is_told_once_and_left_out() -> None:
    sent: list[Any] = []
    jobs = strict("heun", "ddim")
    counted = measure_speeds(Painter(), jobs, images=2, send=sent.append)
    assert [result["job"] for result in sent] == [0, 1, 1]
    assert "must fail" in sent[0]["error"]
    assert list(counted) == [1]


def test_batches_are_measured_with_jobs_of_equal_length() -> None:
    jobs = strict("ddim", "euler", "heun", "lms")
    assert alike_jobs(jobs, {0: 4, 1: 4, 2: 7, 3: 4}) == [jobs[0], jobs[1], jobs[3]]
    assert alike_jobs(jobs, {0: 4, 1: 8, 3: 6}) == [jobs[3]]


def test_wider_batches_are_tried_up_to_the_widest() -> None:
    jobs = strict("ddim", "euler", steps=1)
    rates = dict(measure_widths(bench().starter, jobs, most=2))
    assert list(rates) == [1, 2]
    assert all(rate and rate > 0 for rate in rates.values())


def test_wider_batches_are_tried_until_two_in_a_row_do_not_pay(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rates = {1: 1.0, 2: 1.0, 4: 3.0, 8: 3.01, 16: 3.02, 32: 9.0}
    monkeypatch.setattr(
        throughput, "_measure_width", lambda _starter, _jobs, width, _: rates[width]
    )
    tried = dict(measure_widths(bench().starter, strict("ddim"), most=64))
    assert list(tried) == [1, 2, 4, 8, 16]


def test_wider_batches_are_tried_until_memory_ends() -> None:
    def fill(_network: Any, inputs: tuple[torch.Tensor, ...]) -> None:
        if len(inputs[0]) > 2:  # rows with and without the prompt
            msg = "full"
            raise torch.OutOfMemoryError(msg)

    hook = bench().pipe.unet.register_forward_pre_hook(fill)
    try:
        tried = dict(measure_widths(bench().starter, strict("ddim", steps=1), most=8))
    finally:
        hook.remove()
    assert list(tried) == [1, 2]
    assert tried[1]
    assert tried[2] is None


def test_a_scheduler_that_fails_in_a_batch_ends_its_measurement() -> None:
    both = {"use_karras_sigmas": True, "use_beta_sigmas": True}
    jobs = strict("euler", scheduler_options=both)
    with pytest.raises(JobError, match="Only one of"):
        list(measure_widths(bench().starter, jobs, most=1))


@pytest.mark.long
def test_a_device_that_is_not_there_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(programs, "probe", lambda: [Gpu(name="H200", uuid="1f2e")])
    with pytest.raises(UsageError, match="must be one of cpu, cuda:0, got cuda:99"):
        choose_device("cuda:99")
    assert choose_device("cpu") == "cpu"


@pytest.mark.slow
@pytest.mark.usefixtures("settings")
def test_results_come_in_order() -> None:
    sent: list[Any] = []
    calibrate(wish(strict("ddim", steps=1), widths=True), sent.append)
    kinds = [next(iter(result)) for result in sent]
    assert kinds[:5] == ["environment", "job", "job", "job", "speeds"]
    assert set(kinds[5:]) == {"width"}
    assert sent[0]["environment"]["details"]["threads"]
    calibrate(wish(strict("ddim", steps=1)), sent.append)
    assert list(sent[-1]) == ["speeds"]


def ask(folder: Path, *jobs: Job) -> list[dict[str, Any]]:
    """Have a process measure these, and give what it says."""
    planned = [
        PlannedJob(job=job, position=0, evaluations=4, scheduler_name="")
        for job in jobs
    ]
    rest = {"images": 3, "device": "cpu", "widths": False}
    with measured(planned, log=folder / "log", **rest) as results:
        return list(results)


@pytest.mark.long
@pytest.mark.usefixtures("settings")
def test_an_error_of_ours_comes_as_its_sentence(tmp_path: Path) -> None:
    (job,) = strict("ddim")
    changed = replace(job, model=replace(job.model, fingerprint="0" * 32))
    with pytest.raises(NightsweepError, match="must have the files that were planned"):
        ask(tmp_path, changed)


def test_any_other_end_is_told_with_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Ends while it is imported, as where torch is broken.
    (tmp_path / "torch.py").write_text("raise IndexError('no such library')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    said = r"code 1: IndexError: no such library; its log is"
    with pytest.raises(NightsweepError, match=said):
        ask(tmp_path, *strict("ddim"))
    assert "Traceback" in (tmp_path / "log").read_text()


def test_a_calibration_is_shown_and_stored(database: Database) -> None:
    # What runs beside the tests is no matter here.
    done = CliRunner().invoke(cli, [*MEASURE, *SMALL, "--even-if-busy"])
    assert done.exit_code == 0, done.stderr
    assert "3 of each, one at a time" in done.stderr
    assert "Speeds: 3 of 3\n" in done.stderr
    speed, *batches = map(json.loads, done.stdout.splitlines())
    (stored,) = speeds.read(database)
    assert {**asdict(stored), "kind": "speed"}.items() <= speed.items()
    assert (stored.scheduler, stored.images, stored.evaluations) == ("ddim", 3, 1)
    assert stored.least_s <= stored.median_s <= stored.most_s
    (noted,) = (row for row in batches if row["noted"])
    job = make_job("ddim", guidance=2.5)
    known = DatabaseWidths(database).get(job, stored.gpu)
    assert known == noted["batch_width"]
    with database.read() as connection:
        reasons = connection.execute(sa.select(widths.c.reason)).scalars().all()
    assert reasons == ["calibrated"]


@pytest.mark.long
@pytest.mark.parametrize(
    "number", sample((signal.SIGINT, signal.SIGKILL), (signal.SIGINT,))
)
def test_when_it_is_stopped_nothing_is_kept_and_nothing_goes_on(
    number: signal.Signals, database: Database
) -> None:
    with subprocess.Popen(
        [
            sys.executable,
            "-P",
            "-m",
            "nightsweep",
            *MEASURE,
            *SMALL,
            "--images",
            "100000",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr
        assert "one at a time" in process.stderr.readline()
        children = psutil.Process(process.pid).children()
        process.send_signal(number)
        _, said = process.communicate(timeout=PATIENCE_S)
    assert children
    assert psutil.wait_procs(children, timeout=PATIENCE_S)[1] == []
    assert speeds.read(database) == []
    if number == signal.SIGINT:
        assert process.returncode == 130
        assert "Interrupted; nothing is kept" in said
