"""How often the statistics are right, on sweeps whose truth is known.

    python benchmarks/simulated_sweeps.py [--only TABLE] [--quick] [--append]

`tests/simulated_sweeps.py` says how sweeps are drawn. All of it takes ten minutes;
`--quick` draws 100 of each, which shows errors of several points. The last table has
the time that resampling 10 000 images takes.
"""

import argparse
import resource
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import report

# Draws and checks are those of the tests.
sys.path.insert(0, str(Path(__file__).parents[1]))

from analysis.bands import band_differences
from analysis.front import RESAMPLES, find_front
from analysis.noninferiority import Outcome
from analysis.panel import Panel
from tests import statistical_truth as truth
from tests.simulated_sweeps import DISTANCES, SWEEPS
from tests.simulated_votes import VOTINGS
from tests.statistical_truth import Rate

PROMPTS = (10, 20, 30)
#: Sweeps whose gains may be any number.
CONTINUOUS = [shape for shape in SWEEPS if shape != "right or wrong"]
DRAWS, QUICK = 2_000, 100
#: What asks for many settings takes long, and has this part of the draws.
PART = 4
#: Votes on each prompt.
VOTES = (4, 20)
#: Where a row says how a rate is judged.
Check = Callable[[Rate], bool]
MARKED = """
A figure with ! is off by more than a point and what chance does to so many draws."""


def covers(rate: Rate) -> bool:
    """Whether a coverage of 95 % is kept."""
    return rate.is_near(0.95)


def errs_rarely(rate: Rate) -> bool:
    """Whether errors stay at 5 %."""
    return rate.is_at_most(0.05)


def cell(rate: Rate, check: Check | None = None) -> str:
    """Show a rate in per cent, marked where it fails its check."""
    if not rate.draws:
        return "none"
    shown = f"{100 * rate.share:.1f}"
    return shown if check is None or check(rate) else f"{shown} !"


def coverage(shape: str, prompts: int, draws: int) -> list[str]:
    """Fill a row of the coverage of intervals."""
    rates = [
        truth.cover_by_percentiles(shape, prompts, draws=draws),
        truth.cover_difference(shape, prompts, draws=draws, method="t"),
        truth.cover_difference(shape, prompts, draws=draws, method="bootstrap-t"),
        truth.cover_curve(shape, prompts, draws=draws // PART),
    ]
    return [cell(rate, covers) for rate in rates]


def claims(shape: str, prompts: int, draws: int) -> list[str]:
    """Fill a row of wrong claims."""
    student = truth.err_at_margin(shape, prompts, draws=draws, method="t")
    used = truth.err_at_margin(shape, prompts, draws=draws, method="bootstrap-t")
    rates = [
        student[Outcome.AS_GOOD],
        used[Outcome.AS_GOOD],
        used[Outcome.WORSE],
        truth.err_at_default_margin(shape, prompts, draws=draws),
        *(
            truth.reject_equal_pairs(shape, prompts, draws=draws // PART, method=method)
            for method in ("t", "bootstrap-t")
        ),
    ]
    return [cell(rate, errs_rarely) for rate in rates]


def limits(shape: str, prompts: int, draws: int) -> list[str]:
    """Fill a row of limits that are named too early."""
    rates = [
        truth.name_limit_too_early(shape, prompts, draws=draws, method="t"),
        truth.name_limit_too_early(shape, prompts, draws=draws, method="bootstrap-t"),
        *(
            truth.name_limit_too_early(
                shape, prompts, draws=draws, method="bootstrap-t", pairs=pairs
            )
            for pairs in (1, 3)
        ),
    ]
    return [cell(rate, errs_rarely) for rate in rates]


def fronts(shape: str, prompts: int, draws: int) -> list[str]:
    """Fill a row of settings that are truly on the front."""
    rates = truth.judge_front(shape, prompts, draws=draws // PART)
    return [cell(rate) for rate in rates.values()]


def preferences(voting: str, prompts: int, draws: int) -> list[str]:
    """Fill a row of intervals of preferences that hold the truth."""
    few, many = VOTES

    def hold(votes: int, *, is_by_vote: bool = False) -> str:
        missed = truth.miss_preference(
            voting, prompts, votes, draws=draws, is_by_vote=is_by_vote
        )
        held = Rate(hits=missed.draws - missed.hits, draws=missed.draws)
        return cell(held, lambda _: errs_rarely(missed))

    return [hold(few), hold(many), hold(many, is_by_vote=True)]


def times() -> list[list[str]]:
    """Time the resampling of 10 000 images."""
    generator = np.random.default_rng(0)
    values = generator.normal(size=(25, 4, 100))
    rows = [
        (f"prompt {place[0]}", place[1], place[2], float(value))
        for place, value in np.ndenumerate(values)
    ]
    started = time.perf_counter()
    panel = Panel.from_rows(rows, metric="clip", higher_is_better=True)
    laid_out = time.perf_counter()
    find_front(panel, {setting: float(setting) for setting in panel.settings})
    resampled = time.perf_counter()
    band_differences(panel, reference=99)
    banded = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return [
        ["rows to a panel", f"{laid_out - started:.2f} s"],
        [f"the front, {RESAMPLES} resamples", f"{resampled - laid_out:.2f} s"],
        ["a band of 99 differences", f"{banded - resampled:.2f} s"],
        ["peak memory", f"{peak:.0f} MB"],
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One table.

    Attributes:
        title: Its heading.
        header: Names of its columns.
        fill: Makes its rows from the number of draws.
        notes: What the columns mean.
    """

    title: str
    header: Sequence[str]
    fill: Callable[[int], list[list[str]]]
    notes: str

    def show(self, options: argparse.Namespace) -> None:
        """Print it, and append it to the page of figures if that was asked for."""
        rows = self.fill(options.draws)
        notes = self.notes
        if any("!" in text for row in rows for text in row):
            notes += MARKED
        table = report.table(self.header, rows)
        print(f"\n{self.title}\n\n{table}\n\n{notes}", flush=True)
        if options.append:
            report.append(self.title, report.command_line(), table, notes=notes)


def each(
    shapes: Iterable[str], row: Callable[[str, int, int], list[str]]
) -> Callable[[int], list[list[str]]]:
    """Return what fills a row for each kind of sweep and number of prompts."""
    return lambda draws: [
        [shape, f"{prompts}", *row(shape, prompts, draws)]
        for shape in shapes
        for prompts in PROMPTS
    ]


TABLES = {
    "limits": Table(
        title="Limits of schedulers that are named too early",
        header=("distances", "prompts", "t", "bootstrap-t", "1 pair", "3 pairs"),
        fill=each(DISTANCES, limits),
        notes="""\
Per cent of draws that name a number of steps whose true distance is not below delta;
that of 20 steps is exactly delta. The last columns measure the unit of each prompt by
one pair of seeds, or by the median of three, and use the bootstrap-t.""",
    ),
    "coverage": Table(
        title="Intervals that hold the truth",
        header=("sweeps", "prompts", "percentiles", "t", "bootstrap-t", "band of 8"),
        fill=each(SWEEPS, coverage),
        notes="""\
Per cent of draws in which a 95 % interval holds the true difference of two settings:
the percentiles of a plain bootstrap, Student's t, and the bootstrap-t that is used. The
last column has the draws, a quarter as many, in which a max-t band holds all of eight
true differences. Draws of right or wrong images without an interval do not count.""",
    ),
    "claims": Table(
        title="Claims that are wrong",
        header=(
            *("sweeps", "prompts", "as good, t", "as good", "worse"),
            *("default margin", "Holm of 4, t", "Holm of 4"),
        ),
        fill=each(SWEEPS, claims),
        notes="""\
Per cent of draws with a wrong claim where it is most likely: "as good" and "worse" of a
true loss of exactly the margin, "as good" of a loss of exactly the default margin, and
any of four equal pairs told apart at 5 % after Holm's adjustment, in a quarter of the
draws.""",
    ),
    "fronts": Table(
        title="Settings that are truly on the front",
        header=("sweeps", "prompts", *truth.FRONT_SHARES),
        fill=each(CONTINUOUS, fronts),
        notes="""\
Eight settings with random gains, without the cheapest, which is always on the front. Of
those on it in at least 95 %, or at most 5 %, of resamples: how many per cent truly are.
A quarter of the draws.""",
    ),
    "preferences": Table(
        title="Intervals of preferences that hold the truth",
        header=(
            *("votes", "prompts", *(f"{votes} a prompt" for votes in VOTES)),
            "each vote by itself",
        ),
        fill=each(VOTINGS, preferences),
        notes="""\
Four values of an axis, and votes on random pairs of them: per cent of 95 % intervals of
a preference that hold what endless votes on endless prompts would come to. The last
column takes each of 20 votes a prompt for an observation of its own, which is not what
is done. Where prompts differ, each adds a normal number to the strength of each value,
whose standard deviation is half of what is between the worst value and the best.""",
    ),
    "times": Table(
        title="Resampling 10 000 images",
        header=("what", "took"),
        fill=lambda _draws: times(),
        notes="""\
100 settings, 25 prompts and 4 seeds. Memory is the peak of the whole process, numpy
included.""",
    ),
}


def parse() -> argparse.Namespace:
    """Read the options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--draws", type=int, default=DRAWS, help="of each sweep")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} draws")
    parser.add_argument("--only", choices=TABLES, help="one table")
    parser.add_argument("--append", action="store_true", help="to docs/benchmarks.md")
    options = parser.parse_args()
    if options.quick:
        options.draws = QUICK
    return options


def main() -> None:
    """Print all tables, or one."""
    options = parse()
    for name, table in TABLES.items():
        if options.only in (None, name):
            table.show(options)


if __name__ == "__main__":
    main()
