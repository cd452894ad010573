"""Eta that is null is the scheduler's own: one job a meaning, in all of its cells."""

import itertools
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from producer.expansion.expand import Expansion, expand, read_jobs
from producer.expansion.resolution import make_job
from producer.sheet.layout import choose_axes
from producer.sheet.pages import Picture, make_pages
from producer.spec.sweepfile import read_spec
from storage.catalogue.pipeline_families import Guidance
from tests.unit import cards
from tests.unit.cards import describe_fake, write_axes, write_spec

SAID = "builtin:shapes: eta null means {eta}: 2 values make one job"


def expand_axes(folder: Path, axes: str, *, rest: str = "") -> Expansion:
    return expand(read_spec(write_axes(folder, axes, rest=rest)), describe_fake)


def etas_of(expansion: Expansion) -> list[float]:
    jobs = [planned.job for planned in expansion.jobs()]
    assert expansion.count == len(jobs) == len({job.key for job in jobs})
    return [job.parameter("eta") for job in jobs]


def test_null_and_the_eta_that_it_means_are_one_job(tmp_path: Path) -> None:
    expansion = expand_axes(
        tmp_path, "{scheduler: ddim, seed: [1, 2], eta: [null, 0, 0.5]}"
    )

    assert etas_of(expansion) == [0, 0.5, 0, 0.5]
    assert expansion.duplicates == (SAID.format(eta=0),)
    assert next(expansion.jobs()).cell["eta"] == ["default", "0"]


def test_null_means_the_eta_of_the_scheduler(tmp_path: Path) -> None:
    expansion = expand_axes(tmp_path, "{scheduler: ddim_eta, eta: [null, 1]}")

    assert etas_of(expansion) == [1]
    assert expansion.duplicates == (SAID.format(eta=1),)


def test_include_adds_no_eta_that_means_the_same(tmp_path: Path) -> None:
    expansion = expand_axes(
        tmp_path,
        "{scheduler: ddim}",
        rest="include: [{eta: null}, {eta: 0}, {eta: 0.5}]",
    )

    assert etas_of(expansion) == [0, 0.5]


def test_bundles_of_which_some_set_eta_are_compared(tmp_path: Path) -> None:
    expansion = expand_axes(
        tmp_path,
        "{scheduler: ddim, kind: [{label: a, set: {eta: 0, steps: 8}},"
        " {label: b, set: {steps: 8}}, {label: c, set: {eta: 0.5}}]}",
    )

    assert etas_of(expansion) == [0, 0.5]
    cells = [planned.cell["kind"] for planned in expansion.jobs()]
    assert cells == [["a", "b"], "c"]


@pytest.mark.parametrize(
    ("base", "axes", "etas"),
    [
        ("eta: 1", "scheduler: [ddim, ddim_eta]", [1]),
        ("seed: 1", "scheduler: [ddim, ddim_eta], eta: [null, 1]", [0, 1]),
        ("seed: 1", "scheduler: [ddim_eta, tcd_eta], eta: [null]", [1, 0.3]),
        ("seed: 1", "kind: [{set: {scheduler: ddim, eta: 1}}, "
         "{set: {scheduler: ddim_eta}}]", [1]),
    ],
)  # fmt: skip
def test_a_scheduler_and_its_twin_with_an_eta_are_one_job(
    tmp_path: Path, base: str, axes: str, etas: list[float]
) -> None:
    text = (
        f"name: s\nbase: {{model: 'builtin:shapes', prompt: p, {base}}}\n"
        f"axes: {{{axes}}}\n"
    )

    assert etas_of(read_jobs(write_spec(tmp_path, text), describe_fake)) == etas


def test_two_names_that_are_one_job_at_an_eta_are_told(tmp_path: Path) -> None:
    expansion = expand_axes(tmp_path, "{scheduler: [ddim, ddim_eta], eta: 1}")

    assert expansion.duplicates == (
        "builtin:shapes: scheduler means DDIMScheduler with eta 1: 2 values make one "
        "job",
    )


@pytest.mark.parametrize(
    ("axes", "entry", "etas"),
    [
        ("scheduler: ddim, eta: [0, 0.5]", "eta: null", [0.5]),
        ("scheduler: ddim, eta: [null, 0.5]", "eta: 0", [0.5]),
        ("scheduler: ddim, eta: [null, 0.5]", "eta: [0.5]", [0]),
        ("scheduler: ddim, steps: [4, 8]", "eta: 0, steps: 4", [0]),
        ("scheduler: [ddim, ddim_eta]", "eta: 0", [1]),
        ("scheduler: [ddim, ddim_eta]", "eta: 1", [0]),
        ("scheduler: [ddim, ddim_eta, tcd_eta]", "eta: [0, 1]", [0.3]),
        ("scheduler: [ddim_eta, tcd], eta: [null]", "eta: null, scheduler: tcd", [1]),
        ("kind: [{set: {scheduler: ddim, eta: 0}}, {set: {scheduler: ddim_eta}}]",
         "eta: 1", [0]),
        ("kind: [{set: {scheduler: ddim, eta: 0}}, {set: {scheduler: ddim_eta}}]",
         "eta: null", []),
    ],
)  # fmt: skip
def test_exclude_knows_what_a_null_eta_means(
    tmp_path: Path, axes: str, entry: str, etas: list[float]
) -> None:
    expansion = expand_axes(
        tmp_path,
        f"{{{axes}}}",
        rest=f"exclude: [{{{entry}}}]\ninclude: [{{scheduler: lms, seed: 9}}]",
    )

    assert etas_of(expansion) == [*etas, 0]
    assert expansion.warnings == ()


def test_a_contact_sheet_has_the_right_image_in_each_cell(tmp_path: Path) -> None:
    expansion = expand_axes(tmp_path, "{scheduler: [ddim_eta, ddim], eta: [null, 1]}")
    pictures = [
        Picture(
            key="k",
            cell={k: [v] if isinstance(v, str) else v for k, v in planned.cell.items()},
            state=f"eta {planned.job.parameter('eta'):g}",
            path=None,
            facts={"width": 64, "height": 64},
        )
        for planned in expansion.jobs()
    ]
    labels = expansion.axis_labels
    layout = choose_axes(labels, rows="scheduler", cols="eta")

    (sheet,) = make_pages("s", pictures, layout).sheets

    states = [[cell.state for cell in row] for row in sheet.panels[0].cells]
    assert states == [["eta 1", "eta 1"], ["eta 0", "eta 1"]]


def pick(chance: random.Random, values: list[str]) -> list[str]:
    return chance.sample(values, chance.randint(1, len(values)))


def walk_plainly(expansion: Expansion) -> Iterator[str]:
    """Give the key of each cell that no entry of `exclude` matches."""
    for grid in expansion.grids:
        left_out = [each for entry in grid.excluded for each in entry]
        for block in grid.blocks:
            for points in itertools.product(*(each.values() for each in block.points)):
                tokens = [point.token for point in points]
                if block.is_extra or not any(
                    all(tokens[axis] in named for axis, named in each.items())
                    for each in left_out
                ):
                    yield make_job(block.parameters(points), grid.card).key


@pytest.mark.parametrize("seed", range(40))
def test_the_count_is_that_of_different_jobs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    effects = Guidance() if seed % 2 else None
    card = replace(cards.CARD, effects=effects)
    monkeypatch.setattr(cards, "CARDS", {"builtin:shapes": card})
    chance = random.Random(seed)  # noqa: S311 - no secret
    axes: dict[str, list[str]] = {
        "scheduler": pick(chance, ["ddim", "ddim_eta", "DDIM", "tcd", "null", "lms"]),
        "eta": pick(chance, ["null", "0", "0.0", "1", "0.5"]),
        "guidance": pick(chance, ["null", "0", "1", "2.5"]),
        "clip_skip": pick(chance, ["null", "0", "1"]),
    }
    if chance.random() < 0.3:
        bundles = [
            f"{{scheduler: {name}}}" if eta == "null" else
            f"{{scheduler: {name}, eta: {eta}}}"
            for name, eta in itertools.product(axes.pop("scheduler"), axes.pop("eta"))
        ]  # fmt: skip
        axes["kind"] = [f"{{set: {each}}}" for each in bundles]
    for name in chance.sample(sorted(axes), chance.randrange(2)):
        if name != "kind":
            axes.pop(name)
    # What a scheduler cannot do is left out, and so is something that it can.
    exclude = (
        "[{scheduler: [lms, null], eta: [1, 0.5]}, {scheduler: ddim_eta, eta: [0.5]},"
        " {scheduler: ddim_eta, eta: 0}, {scheduler: ddim, eta: null, guidance: 1}]"
    )
    include = "[{scheduler: ddim, eta: [null, 0]}, {scheduler: ddim_eta, eta: 1}]"
    lines = "".join(f"  {k}: [{', '.join(v)}]\n" for k, v in axes.items())
    text = (
        "name: s\nbase: {model: 'builtin:shapes', prompt: p}\n"
        f"axes:\n{lines}exclude: {exclude}\ninclude: {include}\n"
    )

    expansion = read_jobs(write_spec(tmp_path, text), describe_fake)
    keys = {planned.job.key for planned in expansion.jobs()}

    assert expansion.count == len(list(expansion.jobs())) == len(keys)
    assert keys == set(walk_plainly(expansion))
