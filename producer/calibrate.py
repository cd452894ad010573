"""The command `nightsweep calibrate`: how fast schedulers are, how wide batches pay."""

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from producer.calibration import choose_width, plan_jobs, speed_of
from producer.hashing import tell_hashing
from producer.json_lines import json_option, write_json
from producer.measuring import measured
from producer.models import ModelCard, describe
from producer.options import INTERRUPTED
from producer.spec.parameters import PARSERS
from producer.tables import Column, write_table
from storage import speeds
from storage.claims import leased_owners
from storage.database import Database, open_database, utc_now
from storage.errors import ModelError, UsageError
from storage.fingerprint import Digests
from storage.job import PlannedJob
from storage.owners import host_of, is_dead, my_name
from storage.results import Environment
from storage.settings import read_settings
from storage.speeds import Speed
from storage.widths import DatabaseWidths

#: Fewest images of which a median says something.
FEWEST = 3

_DEVICE = re.compile(r"cpu|cuda:\d{1,3}")


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


@click.command(
    epilog="Example: nightsweep calibrate builtin:shapes --scheduler ddim --steps 4,8"
)
@click.argument("model")
@click.option("--revision", metavar="NAME", help="Branch, tag or commit on the Hub.")
@click.option("--variant", metavar="NAME", help="File variant such as fp16.")
@click.option(
    "--scheduler",
    "schedulers",
    metavar="NAME|all",
    multiple=True,
    help="Any name that a spec takes. Repeatable.  [default: six usual ones]",
)
@click.option(
    "--steps", metavar="N,N", default="10,20,30", help="Step counts, with commas."
)
@click.option(
    "--images",
    "count",
    type=click.IntRange(FEWEST),
    default=5,
    help="Images of each scheduler and step count.",
)
@click.option(
    "--width", metavar="PIXELS", help="Of the images.  [default: the model's own]"
)
@click.option(
    "--height", metavar="PIXELS", help="Of the images.  [default: the model's own]"
)
@click.option(
    "--dtype",
    metavar="NAME",
    help="float32, float16 or bfloat16.  [default: as in a spec]",
)
@click.option(
    "--guidance",
    metavar="SCALE",
    help="1 is none for most models.  [default: as in a spec]",
)
@click.option(
    "--device",
    metavar="cpu|cuda:0",
    help="What to measure.  [default: the first GPU, or the CPU where there is none]",
)
@click.option("--no-widths", is_flag=True, help="Measure no batches.")
@json_option
def calibrate(model: str, *, as_json: bool, **asked: Any) -> None:
    """Measure how fast schedulers are, and how wide batches pay.

    MODEL is builtin:shapes, a folder, or a Hub id. First each scheduler and step count
    alone, one plain call of the pipeline after the other: the seconds from the prompt
    to the pixels go into the table `speeds`. Then batches of 1, 2, 4 and so on: the
    narrowest of nearly the best rate is noted, and workers use it. Figures of an
    earlier calibration are replaced. Ctrl-C stops at once; the speeds are kept if they
    were complete, and a width is noted only at the end.
    """
    device = _read_device(asked["device"])
    settings = read_settings()
    settings.make_home()
    card = _describe(model, asked, digests=settings.home / "digests.json")
    jobs = plan_jobs(
        card,
        names=asked["schedulers"],
        steps=_read_steps(asked["steps"]),
        base=_read_base(asked),
    )
    with closing(open_database(settings.database_url)) as database:
        _warn_of_others(database)
        results = measured(
            jobs,
            log=settings.logs / "calibration.log",
            images=asked["count"],
            device=device,
            widths=not asked["no_widths"],
        )
        calibration = _Calibration(
            jobs, database, count=asked["count"], as_json=as_json
        )
        sys.exit(calibration.run(results))


class _Calibration:
    """Takes results as they come; shows and stores them when they are complete."""

    def __init__(
        self,
        jobs: Sequence[PlannedJob],
        database: Database,
        *,
        count: int,
        as_json: bool,
    ) -> None:
        self._jobs = jobs
        self._database = database
        self._count = count
        self._as_json = as_json
        self._seconds: dict[int, list[float]] = {}
        self._evaluations: dict[int, int] = {}
        self._failures: dict[int, str] = {}
        self._has_speeds = False

    def run(self, measuring: AbstractContextManager[Iterator[dict[str, Any]]]) -> int:
        """Take everything; give the exit code."""
        try:
            with measuring as results:
                environment = Environment(**next(results)["environment"])
                self._take_speeds(results, environment)
                self._take_widths(results, environment.gpu)
        except KeyboardInterrupt:
            kept = "the speeds are kept" if self._has_speeds else "nothing is kept"
            click.echo(f"\nInterrupted; {kept}, and no width is noted.", err=True)
            return INTERRUPTED
        return 1 if self._failures else 0

    def _take_speeds(
        self, results: Iterator[dict[str, Any]], environment: Environment
    ) -> None:
        click.echo(self._describe(environment), err=True)
        with click.progressbar(
            length=len(self._jobs) * self._count, label="Speeds", file=sys.stderr
        ) as bar:
            for result in results:
                if "speeds" in result:
                    break
                self._take_image(result)
                bar.update(1)
        for index, reason in self._failures.items():
            job = self._jobs[index]
            cell = f"{job.scheduler_name}, {job.job.steps} steps"
            click.echo(f"Left out: {cell}: {reason}", err=True)
        found = self._sum_up(environment.gpu)
        speeds.record(self._database, found, environment=environment)
        self._has_speeds = True
        self._show(
            "speed",
            [{**asdict(each), "images_per_s": 1 / each.median_s} for each in found],
            SPEED_COLUMNS,
        )

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
        chosen = choose_width(rates)
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


def _describe(model: str, asked: Mapping[str, Any], *, digests: Path) -> ModelCard:
    known = Digests(digests, progress=tell_hashing)
    try:
        card = describe(
            model,
            revision=asked["revision"],
            variant=asked["variant"],
            base_dir=Path.cwd(),
            digests=known,
        )
    except ModelError as error:
        raise UsageError(str(error)) from error
    known.save()
    return card


def _read_steps(text: str) -> list[int]:
    return [PARSERS["steps"](part.strip()) for part in text.split(",")]


def _read_base(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Read the parameters that are set, by the rules of a spec."""
    names = ("width", "height", "dtype", "guidance")
    return {name: PARSERS[name](asked[name]) for name in names if asked[name]}


def _read_device(text: str | None) -> str | None:
    if text and not _DEVICE.fullmatch(text):
        msg = f"--device must be cpu, or cuda:0 and so on, got {text!r}."
        raise UsageError(msg)
    return text


def _warn_of_others(database: Database) -> None:
    here = host_of(my_name())
    others = [
        owner
        for owner in leased_owners(database)
        if host_of(owner) == here and not is_dead(owner)
    ]
    if others:
        click.echo(
            f"Warning: workers of this machine are at work ({len(others)}), so all "
            "will seem slower than it is; measure again when they have ended.",
            err=True,
        )
