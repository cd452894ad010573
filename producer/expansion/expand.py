"""Spec to jobs: every cell of the sweep, in the order of execution, one at a time."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Any

from producer.expansion import cells, checks
from producer.expansion.control_planning import (
    CONTROL_IMAGE,
    CONTROLNET,
    PlannedControl,
    control_images,
)
from producer.expansion.equivalents import Tokens
from producer.expansion.grid import Grid
from producer.expansion.grids import Describe, build_grids
from producer.expansion.merges import find_merges, name_merges
from producer.expansion.planning import JobPlanner
from producer.expansion.sampling import draw_cells
from producer.expansion.scheduler_planning import PlannedScheduler
from producer.expansion.step_checks import check_steps
from producer.models.cards import ModelCard
from producer.spec.input_images import InputImage
from producer.spec.problems import Problems
from producer.spec.remarks import Remark, collect
from producer.spec.sweepfile import Spec, parse_spec
from producer.spec.yamltext import Source
from storage.job import PlannedJob, canonical_json
from storage.jobs.sweeps import digest_of

#: Jobs that are looked up, stored or sent at once.
BATCH = 1000
#: The defaults of all models before each pipeline had its own, and those of the
#: built-in model: precision, steps and guidance.
_ONCE = (("float16", 20, 7.5), ("float32", 20, 2.5))


@dataclass(frozen=True, slots=True, kw_only=True)
class Expansion:
    """All jobs of a spec, not yet made.

    Attributes:
        spec: The sweep.
        grids: Its cells, one grid a model, in the order of execution.
        count: The number of jobs, all different.
        whole: The number without `sample`.
        drawn: Of a sample, the tokens of each grid's cells; else None.
        duplicates: Sentences about values that give the same jobs.
        notes: Sentences about what words such as `scheduler: all` leave out.
        warnings: Sentences about prompts that are cut, what could not be checked,
            and exclusions that match nothing.
        taken: A sentence about what was chosen where the file says nothing; else None.
    """

    spec: Spec
    grids: tuple[Grid, ...]
    count: int
    whole: int
    duplicates: tuple[str, ...]
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    taken: str | None = None
    drawn: tuple[Sequence[Tokens], ...] | None = None

    @property
    def models(self) -> list[ModelCard]:
        """The models, each once, in the order of execution."""
        cards = {grid.card.model.fingerprint: grid.card for grid in self.grids}
        return list(cards.values())

    @property
    def schedulers(self) -> Iterator[tuple[ModelCard, PlannedScheduler]]:
        """Each scheduler of each model; some appear several times."""
        for grid in self.grids:
            for cell in cells.combinations(grid, "scheduler"):
                yield grid.card, cell.parameters["scheduler"]

    @property
    def inputs(self) -> list[InputImage]:
        """The images that its jobs begin with or follow, each once."""
        names = ("image",), (CONTROLNET, CONTROL_IMAGE)
        found = (
            image
            for grid, some in itertools.product(self.grids, names)
            for cell in cells.combinations(grid, *some)
            for image in _images(cell.parameters, some)
        )
        return list(dict.fromkeys(image for image in found if image))

    @property
    def control_nets(self) -> list[PlannedControl]:
        """The ControlNets of its jobs, each once."""
        found = {
            net.part.fingerprint: net
            for grid in self.grids
            for cell in cells.combinations(grid, CONTROLNET)
            for net in cell.parameters[CONTROLNET].nets
        }
        return list(found.values())

    @property
    def what_is_meant(self) -> list[str]:
        """What decides, besides the text, what the sweep wants.

        These are the models, their defaults where the text says nothing, and what a
        scheduler's name means where the model's config differs: there the name meant
        something else before it pinned its options. Values without effect once made
        jobs of their own, so the merges of such values count too. So do the rows of
        tables, since a label does not tell what its row sets.
        """
        pinned = {one.token: None for _, one in self.schedulers if one.is_pinned}
        defaults = (card.defaults for card in self.models)
        taken = [canonical_json(each) for each in defaults if each not in _ONCE]
        merges = [merge for grid in self.grids for merge in find_merges(grid)]
        merged = [canonical_json(astuple(merge)) for merge in merges]
        fingerprints = (
            *(card.model.fingerprint for card in self.models),
            *(net.part.fingerprint for net in self.control_nets),
        )
        tables = self.spec.table_digests
        inputs = (image.digest for image in self.inputs)
        return [*fingerprints, *pinned, *taken, *merged, *tables, *inputs]

    @property
    def axis_labels(self) -> dict[str, list[str]]:
        """The axes in the order of display, each with the labels of its values."""
        labels: dict[str, dict[str, None]] = {}
        for grid in self.grids:
            for block in grid.blocks:
                for axis, points in zip(grid.axes, block.points, strict=True):
                    known = labels.setdefault(axis.name, {})
                    known.update((point.label, None) for point in points.values())
        return {name: list(known) for name, known in labels.items()}

    @property
    def digest(self) -> str:
        """The digest of what the sweep wants, as a stored sweep has it."""
        return digest_of(self.spec.text, self.axis_labels, meanings=self.what_is_meant)

    def jobs(self) -> Iterator[PlannedJob]:
        """Make the jobs one at a time, in the order of execution.

        Models are outermost, then seeds, then prompts: one seed and one prompt over
        every combination of the other axes, then the next.
        """
        position = 0
        for number, grid in enumerate(self.grids):
            planner = JobPlanner(grid, self.grids)
            all_of_it = self.drawn is None
            for cell in cells.walk(grid) if all_of_it else self._pick(number):
                yield planner.plan(cell, position)
                position += 1

    def _pick(self, number: int) -> Iterator[cells.Cell]:
        return cells.pick(self.grids[number], self.drawn[number] if self.drawn else ())

    def batches(self) -> Iterator[list[PlannedJob]]:
        """Make the jobs in lists of `BATCH`; the last may be shorter."""
        jobs = self.jobs()
        while batch := list(itertools.islice(jobs, BATCH)):
            yield batch


def read_jobs(
    source: Source,
    describe: Describe,
    *,
    sets: Sequence[str] = (),
    axes: Sequence[str] = (),
) -> Expansion:
    """Read a sweep file and expand it; report the problems of both steps together.

    Args:
        source: A YAML or JSON file, `-` for standard input, or a stored spec.
        describe: What finds a model: `producer.models.cards.describe`.
        sets: Values of `--set`.
        axes: Values of `--axis`.

    Raises:
        SpecError: With everything that is wrong, in the order of the lines.
    """
    problems = Problems()
    spec = parse_spec(source, sets=sets, axes=axes, problems=problems)
    return _expand(spec, describe, problems)


def expand(spec: Spec, describe: Describe) -> Expansion:
    """Expand a spec to its jobs.

    Args:
        spec: From `producer.spec.sweepfile.read_spec`.
        describe: What finds a model: `producer.models.cards.describe`.

    Raises:
        SpecError: With everything that the models cannot do.
    """
    return _expand(spec, describe, Problems())


def _images(
    parameters: Mapping[str, Any], names: Sequence[str]
) -> Iterator[InputImage | None]:
    """Yield the images that these parameters of a job name."""
    if CONTROLNET in names:
        yield from control_images(parameters)
    else:
        yield parameters["image"]


def _expand(spec: Spec, describe: Describe, problems: Problems) -> Expansion:
    grids = build_grids(spec, describe, problems)
    left_out: list[Remark] = []
    if _fits(spec, grids, problems):
        for grid in grids:
            checks.check_grid(grid, spec.places, problems)
            left_out += check_steps(grid, spec.places, problems)
    problems.check()
    count = whole = sum(map(cells.count, grids))
    drawn = draw_cells(grids, spec.sample) if spec.sample else None
    if drawn is not None:
        count = sum(map(len, drawn))
    if not count:
        part = " that its axes name" if whole else ""
        problems.add(
            spec.place,
            f"a sweep must have a job{part}, got none: `exclude` matches all of it",
        )
        problems.check()
    return Expansion(
        spec=spec,
        grids=grids,
        count=count,
        whole=whole,
        drawn=drawn,
        duplicates=collect(_list_duplicates(grids)),
        notes=(*dict.fromkeys(_list_notes(grids)), *collect(left_out)),
        warnings=collect(_list_warnings(spec, grids)),
    )


def _fits(spec: Spec, grids: Sequence[Grid], problems: Problems) -> bool:
    """Return whether the sweep is small enough to be walked; note it if it is not."""
    blocks = [block for grid in grids for block in grid.blocks]
    total = sum(block.size for block in blocks)
    if spec.sample:
        total = min(total, spec.sample.count)
    if total <= spec.max_jobs:
        return True
    sizes = " x ".join(
        f"{len(axis.points)} {axis.name}" for axis in grids[0].axes if axis.points
    )
    added = sum(block.size for block in blocks if block.is_extra)
    if added:
        sizes = ", ".join(filter(None, [sizes, f"{added} of include"]))
    problems.add(
        spec.place,
        f"a sweep must have at most {spec.max_jobs} jobs (limits.max_jobs), got "
        f"{total} ({sizes}); name fewer values or raise the limit",
    )
    return False


def _list_duplicates(grids: Sequence[Grid]) -> Iterator[Remark]:
    for grid in grids:
        for axis in grid.axes:
            yield from axis.duplicates
        for sentence in name_merges(grid):
            yield Remark(sentence=sentence)


def _list_notes(grids: Sequence[Grid]) -> Iterator[str]:
    for grid in grids:
        for axis in grid.axes:
            for note in axis.notes:
                yield note if len(grids) == 1 else f"{grid.card.model.name}: {note}"


def _list_warnings(spec: Spec, grids: Sequence[Grid]) -> Iterator[Remark]:
    yield from spec.remarks
    if spec.sample and spec.include:
        yield Remark(sentence="sample leaves out what include adds")
    for grid in grids:
        for sentence in grid.card.unchecked:
            yield Remark(sentence=f"{grid.card.model.name}: {sentence}")
        for sentence in checks.warn_of_distilled(grid):
            yield Remark(sentence=sentence)
        yield from checks.find_cut_prompts(grid, spec.places)
    for index, entry in enumerate(spec.exclude):
        if not any(grid.excluded[index] for grid in grids):
            yield Remark(
                sentence=f"{entry.place}: this entry of exclude matches nothing",
                kind="an entry of exclude matches nothing",
                case=str(entry.place),
            )
