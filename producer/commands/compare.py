"""The command `nightsweep compare`: which settings are as good as the best one."""

from collections.abc import Callable, Iterable, Mapping
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import click

from producer.display.json_lines import json_option, write_json
from producer.display.messages import talk
from producer.display.tables import Column, write_table
from producer.options import program
from producer.query_options import QueryCommand, query_options
from producer.report.content import Table
from producer.submission.opening import opened_to_read
from storage.queries.terms import Query
from storage.settings import read_settings

if TYPE_CHECKING:
    from analysis.limits import Limits
    from analysis.trade_off import Judged, TradeOff
    from producer.report.reading import Answered, ComparisonRequest

_OPTIONS = (
    click.option(
        "--by",
        metavar="COLUMN,...",
        default="scheduler,steps",
        show_default=True,
        help="What to compare: scheduler, steps, guidance, negative_prompt, model "
        "and others. Images differ in nothing else within a pair.",
    ),
    click.option(
        "--metric",
        metavar="NAME",
        help="The score to compare by, as in score.NAME of a query; a distance such as "
        "rmse tells how many steps a scheduler needs.  [default: the only one that is "
        "no distance]",
    ),
    click.option(
        "--against",
        metavar="VALUE,...",
        help="The setting that the others are held against, by its values in the "
        "order of --by: ddim,50.  [default: the best one]",
    ),
    click.option(
        "--margin",
        type=click.FloatRange(min=0, min_open=True),
        metavar="LOSS",
        help="A loss of score that counts as none.  [default: a fifth of the "
        "standard deviation between seeds of a prompt; for a distance, 0.05 of that "
        "of two seeds]",
    ),
    click.option(
        "--gpu",
        metavar="NAME",
        help="Part of a GPU's name: costs are the seconds that `calibrate` measured "
        "on it.  [default: costs are evaluations]",
    ),
    click.option(
        "--rank-guidance",
        "ranks_guidance",
        is_flag=True,
        help="Compare guidance even by a score that rises with it.",
    ),
)


def comparison_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say what is compared, and how."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@click.command(
    cls=QueryCommand,
    epilog="Example: nightsweep compare trade-off --by scheduler,steps --metric clip",
)
@query_options()
@comparison_options
@json_option
def compare(query: Query, *, as_json: bool, **asked: Any) -> None:
    """Say which settings are as good as the best one, and what they cost.

    Each setting is held against the reference on the same prompts and seeds. A setting
    is as good if its loss is shown to be below the margin. Intervals are over prompts,
    and hold for all settings together; docs/statistics.md says how they are computed.
    By a distance, say from how many steps on each scheduler is at its own limit.
    """
    # Imported here: numpy takes a while, and the help needs none.
    from producer.report.limit_reading import answer_limits
    from producer.report.reading import answer, read_images

    wanted = read_asked(query, asked)
    with opened_to_read(read_settings()) as database:
        images = read_images(database, wanted)
        if images.metric.is_distance:
            _tell_limits(answer_limits(database, wanted, images), as_json=as_json)
        else:
            _tell(answer(database, wanted, images), as_json=as_json)


def _tell(answered: "Answered", *, as_json: bool) -> None:
    from analysis.conclusion import conclude
    from producer.report.chart_points import tabulate

    found, cost = answered.found, answered.cost
    if as_json:
        write_json(_as_json(one, found) for one in found.settings)
    else:
        _write(tabulate(found, cost), conclude(found, cost))


def _tell_limits(found: "Limits", *, as_json: bool) -> None:
    from analysis.limit_conclusion import conclude_limits
    from producer.report.limit_points import limits_as_json, tabulate_limits

    if as_json:
        write_json(limits_as_json(found))
    else:
        _write(tabulate_limits(found), conclude_limits(found))


def read_asked(query: Query, asked: Mapping[str, Any]) -> "ComparisonRequest":
    """Read what people ask of a comparison.

    Raises:
        UsageError: A column cannot be compared, or the margin cannot be used.
    """
    from analysis.margins import given_margin
    from analysis.settings import read_columns
    from producer.report.reading import ComparisonRequest

    by, margin = read_columns(asked["by"]), asked["margin"]
    given = None if margin is None else given_margin(margin)
    return ComparisonRequest(**{**asked, "query": query, "by": by, "margin": given})


def _write(table: Table, conclusion: Iterable[str]) -> None:
    columns = [
        Column(
            name=name,
            read=itemgetter(name),
            is_number=place in table.numbers,
            is_optional=name in ("images", "on the front"),
        )
        for place, name in enumerate(table.columns)
    ]
    names = table.columns
    write_table([dict(zip(names, row, strict=True)) for row in table.rows], columns)
    click.echo()
    for sentence in conclusion:
        click.echo(sentence)
    talk(f"`{program()} report` writes a page with the images.")


def _as_json(one: "Judged", found: "TradeOff") -> dict[str, Any]:
    # Imported here: numpy takes a while.
    from producer.report.chart_points import verdict_of

    return {
        **dict(one.setting.values),
        "cost": one.cost,
        "metric": found.panel.metric,
        "score": one.score,
        "images": one.n_images,
        "prompts": one.n_prompts,
        "gain": one.gain,
        "low": one.bounds.low if one.bounds else None,
        "high": one.bounds.high if one.bounds else None,
        "level": found.level,
        "margin": found.margin.value if found.margin else None,
        "verdict": verdict_of(one),
        "is_on_front": one.is_on_front,
        "front_share": one.share,
    }
