"""Measurements as they come: counted, judged, shown, and stored."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict
from typing import Any

import click

from producer.calibration import busyness
from producer.calibration.busyness import Load, spread_of
from producer.calibration.conclusions import choose_width, speed_of
from producer.display.json_lines import write_json
from producer.display.messages import talk
from producer.display.tables import Column, write_table
from producer.options import INTERRUPTED
from producer.running.progress import PROGRESS_LINE_S
from storage.host.environment import Environment
from storage.job import PlannedJob
from storage.jobs import speeds
from storage.jobs.batch_sizes import DatabaseWidths
from storage.jobs.speeds import Speed
from storage.sql.database import Database, utc_now


def _number(name: str, digits: int) -> Column:
    return Column(
        name=name.replace("_", " "),
        read=lambda row: f"{row[name]:.{digits}f}",
        is_number=True,
    )


def _rate(row: Mapping[str, Any]) -> str:
    rate = row["images_per_s"]
    return "does not fit" if rate is None else f"{rate:.2f}"


SPEED_COLUMNS = (
    Column(name="scheduler", read=lambda row: row["scheduler"]),
    _number("steps", 0),
    _number("evaluations", 0),
    *(_number(name, 3) for name in ("median_s", "least_s", "most_s")),
    Column(name="images/s", read=_rate, is_number=True),
)
WIDTH_COLUMNS = (
    _number("batch_width", 0),
    Column(name="images/s", read=_rate, is_number=True),
    Column(name="noted", read=lambda row: "yes" if row["noted"] else ""),
)


class Measurements:
    """Takes results as they come; shows and stores them when they are complete."""

    def __init__(
        self,
        jobs: Sequence[PlannedJob],
        database: Database,
        *,
        count: int,
        as_json: bool,
        even_if_busy: bool,
    ) -> None:
        """Take nothing yet.

        Args:
            jobs: What is measured.
            database: Where the figures go.
            count: Images of each job.
            as_json: Whether rows are shown as JSON.
            even_if_busy: Whether figures of a busy machine are stored.
        """
        self._jobs = jobs
        self._even_if_busy = even_if_busy
        self._is_kept = True
        self._workers = busyness.workers_here(database)
        self._database = database
        self._count = count
        self._as_json = as_json
        self._seconds: dict[int, list[float]] = {}
        self._evaluations: dict[int, int] = {}
        self._failures: dict[int, str] = {}
        self._has_stored = False
        self._load = Load()

    def run(self, measuring: AbstractContextManager[Iterator[dict[str, Any]]]) -> int:
        """Take everything; return the exit code."""
        try:
            with measuring as results:
                environment = Environment(**next(results)["environment"])
                self._load = Load()
                self._take_speeds(results, environment)
                self._take_widths(results, environment.gpu)
        except KeyboardInterrupt:
            kept = "the speeds are kept" if self._has_stored else "nothing is kept"
            click.echo(f"\nInterrupted; {kept}, and no width is noted.", err=True)
            return INTERRUPTED
        return 1 if self._failures or not self._is_kept else 0

    def _take_speeds(
        self, results: Iterator[dict[str, Any]], environment: Environment
    ) -> None:
        talk(self._describe(environment))
        with _counting(len(self._jobs) * self._count) as count_one:
            for result in results:
                if "speeds" in result:
                    break
                self._take_image(result)
                count_one()
        for index, reason in self._failures.items():
            job = self._jobs[index]
            cell = f"{job.scheduler_name}, {job.job.steps} steps"
            talk(f"Left out: {cell}: {reason}")
        found = self._sum_up(environment.gpu)
        self._judge(spread_of(found), on_gpu=_is_gpu(environment))
        if self._is_kept:
            speeds.record(self._database, found, environment=environment)
            self._has_stored = True
        self._show(
            "speed",
            [{**asdict(each), "images_per_s": 1 / each.median_s} for each in found],
            SPEED_COLUMNS,
        )

    def _judge(self, spread: float, *, on_gpu: bool) -> None:
        """Say if the machine was busy, and keep nothing then unless asked to."""
        reasons = busyness.why_busy(
            workers=self._workers,
            others=self._load.share(),
            spread=spread,
            on_gpu=on_gpu,
        )
        said = ", and ".join(reasons)
        self._is_kept = not said or self._even_if_busy
        if not said:
            return
        end = "they are stored, as asked"
        if not self._is_kept:
            end = (
                "they are not stored: measure again when it is idle, or add "
                "--even-if-busy"
            )
        talk(f"Warning: the figures are those of a busy machine, since {said}; {end}.")

    def _take_image(self, result: Mapping[str, Any]) -> None:
        index = result["job"]
        if "error" in result:
            self._failures[index] = result["error"]
        else:
            self._seconds.setdefault(index, []).append(result["seconds"])
            self._evaluations[index] = result["evaluations"]

    def _take_widths(self, results: Iterator[dict[str, Any]], gpu: str) -> None:
        rates: dict[int, float | None] = {}
        try:
            for result in results:
                said = ", " if rates else "Batches of "
                rates[result["width"]] = result["images_per_s"]
                click.echo(f"{said}{result['width']}", nl=False, err=True)
        finally:
            click.echo(err=True)
        chosen = choose_width(rates) if self._is_kept else None
        if chosen:
            DatabaseWidths(self._database).set(
                self._jobs[0].job,
                gpu,
                width=chosen,
                reason="calibrated",
                images_per_s=rates[chosen],
            )
        noted = (
            {"batch_width": width, "images_per_s": rate, "noted": width == chosen}
            for width, rate in rates.items()
        )
        self._show("width", list(noted), WIDTH_COLUMNS)

    def _sum_up(self, gpu: str) -> list[Speed]:
        now = utc_now()
        return [
            speed_of(
                self._jobs[index],
                seconds,
                gpu=gpu,
                evaluations=self._evaluations[index],
                measured_at=now,
            )
            for index, seconds in sorted(self._seconds.items())
            if index not in self._failures
        ]

    def _describe(self, environment: Environment) -> str:
        job = self._jobs[0].job
        return (
            f"{job.model.name}, {job.width} x {job.height}, {job.dtype}, guidance "
            f"{job.guidance:g}, on {environment.gpu}: {len(self._jobs)} kinds of "
            f"images, {self._count} of each, one at a time."
        )

    def _show(
        self, kind: str, rows: Sequence[Mapping[str, Any]], columns: Sequence[Column]
    ) -> None:
        if self._as_json:
            write_json({"kind": kind, **row} for row in rows)
            sys.stdout.flush()
        elif rows:
            write_table(rows, columns)


@contextmanager
def _counting(total: int) -> Iterator[Callable[[], None]]:
    """Yield a function that counts an image: a bar on a terminal, else lines."""
    if sys.stderr.isatty():
        with click.progressbar(length=total, label="Speeds", file=sys.stderr) as bar:
            yield lambda: bar.update(1)
        return
    done, said = 0, time.monotonic()

    def count_one() -> None:
        nonlocal done, said
        done += 1
        if done == total or time.monotonic() - said >= PROGRESS_LINE_S:
            said = time.monotonic()
            click.echo(f"Speeds: {done:,} of {total:,}", err=True)

    yield count_one


def _is_gpu(environment: Environment) -> bool:
    return bool(environment.details.get("cuda"))
