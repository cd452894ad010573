"""Whether networks are compiled: what is measured, and what follows from it."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
import torch

from storage.errors import DatabaseError
from storage.job import Job
from tests.batches import Bench, make_job, make_various
from tests.tiny_packed import make_z_image
from tests.tiny_pipelines import make_sd
from tests.work import Notes, paint
from workers.engine.compile_choice import COST_S, choose, measure_pace
from workers.engine.compiling import DETAIL
from workers.engine.torch_painter import TorchPainter

#: What diffusers says of small models that stand in for large ones.
pytestmark = pytest.mark.filterwarnings("ignore")
MANY = (1e9, 1e10)


@dataclass
class Known:
    """Decisions as in the database, and how often each was asked for.

    Attributes:
        left: Jobs left, and their calls.
        cost: Seconds that compiling took before.
        held: The decision of another worker, made meanwhile.
        is_down: Whether the database does not answer.
        settled: Each decision that was settled, with its reason.
        noted: Seconds of each cost that was noted.
    """

    left: tuple[float, float] = MANY
    cost: float | None = None
    held: bool | None = None
    is_down: bool = False
    settled: list[tuple[bool, str]] = field(default_factory=list)
    noted: list[float] = field(default_factory=list)

    def get(self, _job: Job) -> bool | None:
        if self.is_down:
            msg = "The database must answer, but does not."
            raise DatabaseError(msg)
        return self.settled[0][0] if self.settled else None

    def work_left(self, _job: Job) -> tuple[float, float]:
        return self.left

    def cost_s(self, _job: Job, _gpu: str) -> float | None:
        return self.cost

    def settle(self, _job: Job, _gpu: str, *, compiled: bool, reason: str) -> bool:
        self.settled.append((compiled if self.held is None else self.held, reason))
        return self.settled[0][0]

    def note_cost(self, _job: Job, *, seconds: float) -> None:
        self.noted.append(seconds)


@pytest.fixture(scope="module")
def sd(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(make_sd(tmp_path_factory.mktemp("models") / "sd"))


@cache
def bench_of(model: str) -> Bench:
    return Bench(model)


def test_the_pace_is_that_of_an_image_in_a_batch(sd: str) -> None:
    pace = measure_pace(bench_of(sd).starter, make_job(model=sd))
    assert pace
    assert pace.call_s > 0
    assert pace.decode_s > 0
    assert pace.takes_all


def test_texts_that_are_not_padded_are_found(tmp_path: Path) -> None:
    model = str(make_z_image(tmp_path / "z"))
    job = make_job("flow_euler", model=model)
    pace = measure_pace(bench_of(model).starter, job)
    assert pace
    assert not pace.takes_all
    compiled, reason = choose(bench_of(model).starter, job, "H200", Known())
    assert not compiled
    assert reason == "it would be compiled for each length of a text"


def test_a_model_that_cannot_paint_is_not_measured(sd: str) -> None:
    job = make_job(model=sd, width=63)
    assert measure_pace(bench_of(sd).starter, job) is None
    chosen = choose(bench_of(sd).starter, job, "H200", Known())
    assert chosen == (False, "its pace could not be measured")


@pytest.mark.parametrize(
    ("left", "cost", "wanted"),
    [
        (MANY, None, True),
        ((8, 160), None, False),
        (MANY, 1e12, False),
        ((8, 160), 1e-9, True),
    ],
)
def test_it_pays_if_it_saves_a_multiple_of_its_cost(
    sd: str, left: tuple[float, float], cost: float | None, *, wanted: bool
) -> None:
    known = Known(left=left, cost=cost)
    compiled, reason = choose(bench_of(sd).starter, make_job(model=sd), "H200", known)
    assert compiled is wanted
    assert f"it takes about {cost or COST_S:.0f} s and saves about" in reason


@pytest.mark.long
def test_a_group_is_measured_once_and_its_images_say_it(
    auto: Callable[..., TorchPainter], sd: str
) -> None:
    known = Known()
    painter = auto(known)
    jobs = make_various(("ddim", "heun"), model=sd)
    for _ in range(2):
        for made in paint(painter, *jobs):
            assert made.environment.details["compiled"] == DETAIL
    ((compiled, reason),) = known.settled
    assert compiled
    assert reason.endswith("of work that are left for each GPU")
    # The second time, all was compiled.
    assert len(known.noted) == 1
    assert known.noted[0] > 0


def test_what_another_worker_decided_meanwhile_holds(
    auto: Callable[..., TorchPainter], sd: str
) -> None:
    known = Known(held=False)
    (made,) = paint(auto(known), make_job(model=sd))
    assert "compiled" not in made.environment.details


def test_nothing_is_compiled_while_the_database_is_away(
    auto: Callable[..., TorchPainter], sd: str
) -> None:
    known = Known(is_down=True)
    (made,) = paint(auto(known), make_job(model=sd))
    assert "compiled" not in made.environment.details
    assert not known.settled


def test_nothing_is_asked_on_a_cpu_or_for_strict_jobs(
    auto: Callable[..., TorchPainter], sd: str
) -> None:
    known = Known()
    painter = auto(known)
    paint(painter, make_job(model=sd, extras={"strict": True}))
    painter.device = "cpu"
    paint(painter, make_job(model=sd))
    assert not known.settled


@pytest.mark.long
def test_a_network_that_cannot_be_compiled_runs_uncompiled(
    auto: Callable[..., TorchPainter],
    sd: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(_graph: object, _inputs: object) -> Any:
        msg = "there is no compiler"
        raise FileNotFoundError(msg)

    monkeypatch.setattr(torch, "compile", partial(COMPILE, backend=fail))
    jobs = make_various(("ddim", "heun"), model=sd)
    with caplog.at_level(logging.WARNING):
        made = paint(auto(Known()), *jobs)
    assert len(made) == len(jobs)
    assert not any("compiled" in each.environment.details for each in made)
    (said,) = [each for each in caplog.records if each.action == "uncompilable"]
    assert "run uncompiled, since they cannot be compiled here" in said.getMessage()
    assert "there is no compiler" in said.getMessage()


#: Torch's own, where a test has another in its place.
COMPILE = torch.compile


@pytest.fixture
def auto(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., TorchPainter]:
    """Return what makes a painter that decides like one on a GPU.

    Its networks are traced but not translated, which would take minutes.
    """
    torch._dynamo.reset()
    monkeypatch.setattr(torch, "compile", partial(COMPILE, backend="eager"))

    def make(known: Known) -> TorchPainter:
        painter = TorchPainter(
            "cpu",
            threads=1,
            digests=tmp_path / "digests.json",
            widths=Notes(),
            compile_networks=known,
        )
        painter.device = "cuda:0"
        return painter

    return make
