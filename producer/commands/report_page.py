"""The command `nightsweep report`: one page that answers a sweep's question."""

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from producer.commands.compare import comparison_options, read_asked
from producer.display.messages import talk
from producer.query_options import QueryCommand, query_options
from producer.submission.opening import opened_to_read
from storage.errors import ImageStoreError
from storage.host.atomic_writes import replacing
from storage.jobs import sweeps
from storage.queries.answers import read_meaning
from storage.queries.environments import read_environments
from storage.queries.scored import ScoredMetric
from storage.queries.terms import Query
from storage.settings import Settings, read_settings
from storage.sql.database import Database

if TYPE_CHECKING:
    from producer.report.content import Content
    from producer.report.reading import ComparisonRequest, ScoredImages

#: A word of a query, with the quotes that hold it together.
_WORD = re.compile(r'(?:[^\s"]|"(?:\\.|[^"\\])*")+')


@click.command(
    cls=QueryCommand,
    epilog="Example: nightsweep report trade-off --by scheduler,steps --metric clip",
)
@query_options()
@comparison_options
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to write.  [default: $NIGHTSWEEP_HOME/reports/NAME.html]",
)
def report(query: Query, *, out: Path | None, **asked: Any) -> None:
    """Write one page that answers a sweep's question, with images.

    The page opens from disk, without a network: the answer, the trade-off with images,
    every setting with its interval, images that show the claim, times, failures, and
    how to make it all again. Prints the file's path.
    """
    # Imported here: numpy takes a while, and the help needs none.
    from producer.report.html_page import render
    from producer.report.reading import read_images

    settings, wanted = read_settings(), read_asked(query, asked)
    with opened_to_read(settings) as database:
        named = read_meaning(database, query).sweeps
        images = read_images(database, wanted)
        content = build_content(
            database, settings, wanted, images=images, asked=asked, named=named
        )
    file = out or settings.home / "reports" / f"{_file_name(query, named)}.html"
    page = render(
        content,
        made_at=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        version=version("nightsweep"),
    )
    _write(file, page)
    click.echo(file)
    talk(content.answer[0])


def build_content(  # noqa: PLR0913 - a report is made from that much
    database: Database,
    settings: Settings,
    wanted: "ComparisonRequest",
    *,
    images: "ScoredImages",
    asked: Mapping[str, Any],
    named: Sequence[str],
    has_pictures: bool = True,
) -> "Content":
    """Read what else the report is made from, and return what it says.

    Args:
        database: Where the images are.
        settings: Where their files are.
        wanted: What is asked.
        images: The images of the query, with their scores.
        asked: The options of the command.
        named: The sweeps that the query names.
        has_pictures: Whether image files are read for it.

    Raises:
        UsageError: The images cannot be compared.
    """
    from producer.report.building import Source, build, build_limits
    from producer.report.limit_reading import (
        answer_limits,
        read_all_limits,
        telling_distances,
    )
    from producer.report.reading import answer

    query = wanted.query
    used = dict.fromkeys([images.metric, *telling_distances(images)])
    source = Source(
        title=query.text or "all images",
        rows=images.rows,
        by=wanted.by,
        images=settings.images if has_pictures else None,
        details=read_environments(database, query),
        spec=_read_spec(database, named),
        commands=_commands(query, asked, metrics=[*used], named=named),
    )
    if images.metric.is_distance:
        found = answer_limits(database, wanted, images)
        others = read_all_limits(database, wanted, images, but=images.metric)
        return build_limits(source, found, others)
    answered = answer(database, wanted, images)
    limits = read_all_limits(database, wanted, images)
    return build(replace(source, cost=answered.cost), answered.found, limits)


def _read_spec(database: Database, named: Sequence[str]) -> str | None:
    """Return the sweep file, if the query names one sweep."""
    if len(named) != 1:
        return None
    (sweep,) = sweeps.require_sweeps(database, named)
    return sweep.spec


def _commands(
    query: Query,
    asked: Mapping[str, Any],
    *,
    metrics: Sequence[ScoredMetric],
    named: Sequence[str],
) -> list[str]:
    """Return the commands that make the images, the scores and this page again.

    Args:
        query: Which images.
        asked: The options of the command.
        metrics: Those that the page tells of, the one that was asked for first.
        named: The sweeps that the query names.
    """
    # Imported here: numpy takes a while, and the help needs none.
    from producer.report.reading import score_options

    words = " ".join(map(shlex.quote, _WORD.findall(query.text)))
    options = [
        f"--{name} {shlex.quote(str(value))}"
        for name, value in asked.items()
        if name not in ("ranks_guidance", "metric") and value is not None
    ]
    if asked["ranks_guidance"]:
        options.append("--rank-guidance")
    named_metric = f"--metric {shlex.quote(metrics[0].label)}"
    computed = [one for one in metrics if not one.is_by_people]
    sweep = [f"nightsweep run {named[0]}.yaml"] if len(named) == 1 else []
    return [
        *sweep,
        *(f"nightsweep score {words} {score_options(one)} --wait" for one in computed),
        " ".join(["nightsweep report", words, named_metric, *options]),
    ]


def _file_name(query: Query, named: Sequence[str]) -> str:
    if len(named) == 1 and query.text in named:
        return named[0]
    return re.sub(r"[^A-Za-z0-9.]+", "-", query.text).strip("-")[:60] or "all"


def _write(file: Path, page: str) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(file) as fresh:
            fresh.write_text(page, "utf-8")
    except OSError as exc:
        msg = (
            f"a report must be writable, but {file} says: {exc.strerror or exc}; "
            "choose another place with --out."
        )
        raise ImageStoreError(msg) from exc
