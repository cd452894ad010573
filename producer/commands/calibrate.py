"""The command `nightsweep calibrate`: how fast schedulers are, how wide batches pay."""

import sys
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import click

from producer.calibration import busyness
from producer.calibration.conclusions import plan_jobs
from producer.calibration.measurements import Measurements
from producer.calibration.measuring import measured
from producer.display.hashing import tell_hashing
from producer.display.json_lines import json_option
from producer.display.messages import talk
from producer.models.cards import ModelCard, describe
from producer.options import device_option
from producer.spec.parameters import PARSERS
from storage.errors import ModelError, UsageError
from storage.models.fingerprint import Digests
from storage.settings import read_settings
from storage.sql.database import Database, open_database

#: Fewest images for a meaningful median.
FEWEST = 3


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
    "--width", metavar="PIXELS", help="Image width.  [default: the model's own]"
)
@click.option(
    "--height", metavar="PIXELS", help="Image height.  [default: the model's own]"
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
@device_option("What to measure.")
@click.option("--no-widths", is_flag=True, help="Measure no batches.")
@click.option(
    "--even-if-busy",
    is_flag=True,
    help="Store the figures even if the machine is busy with other things.",
)
@json_option
def calibrate(model: str, *, as_json: bool, **asked: Any) -> None:
    """Measure how fast schedulers are, and how wide batches pay.

    MODEL is builtin:shapes, a folder, or a Hub id. First it measures each scheduler
    and step count alone, one plain call of the pipeline after the other: the seconds
    from the prompt to the pixels go into the table `speeds`. Then it measures batches
    of 1, 2, 4 and so on: it notes the narrowest width with nearly the best rate, which
    workers use. Figures of an earlier calibration are replaced. Ctrl-C stops at once;
    the speeds are kept if they were complete, and a width is noted only at the end.
    Figures of a busy machine are shown but not stored, and the exit code is 1.
    """
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
            device=asked["device"],
            widths=not asked["no_widths"],
        )
        calibration = Measurements(
            jobs,
            database,
            count=asked["count"],
            as_json=as_json,
            even_if_busy=asked["even_if_busy"],
        )
        sys.exit(calibration.run(results))


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


def _warn_of_others(database: Database) -> None:
    others = busyness.workers_here(database)
    if others:
        talk(
            f"Warning: workers of this machine are at work ({others}), so all "
            "will seem slower than it is; measure again when they have ended."
        )
