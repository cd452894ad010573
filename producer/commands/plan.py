"""The command `nightsweep plan`: what a sweep would make; it writes nothing."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from functools import partial
from typing import Any

import click

from producer.commands.plan_report import Plan, describe_plan
from producer.display.amounts import size
from producer.display.counting import counted
from producer.display.disk_room import DiskRoom, look_at_disk, too_few_inodes
from producer.display.hashing import tell_hashing
from producer.display.json_lines import open_axes, write_json
from producer.display.messages import talk
from producer.expansion.expand import BATCH, Expansion, read_jobs
from producer.models.cards import describe
from producer.options import limit_options, spec_options, with_name
from producer.running.quota_text import warn_of_quota
from producer.scoring.forecast import Forecast
from producer.scoring.requested_metrics import ResolvedMetrics, read_metrics
from producer.spec.yamltext import Source, read_once
from producer.submission.min_free import warn_of_min_free
from producer.submission.precision import settle_precision
from producer.submission.sources import find_source
from storage.files.thumbnails import estimate_thumbnail_bytes
from storage.job import Job, PlannedJob, canonical_json
from storage.jobs.differences import Comparison
from storage.jobs.membership import Known, find_known
from storage.jobs.sweep_counts import Cost, kind_of, measured_costs
from storage.jobs.sweeps import Sweep, find_sweep
from storage.models import downloads
from storage.models.fingerprint import Digests
from storage.settings import Settings, read_settings
from storage.sql.database import open_for_reading

#: Bytes of a PNG per pixel, for a model that has no images yet.
PIXEL_BYTES = 2.0
#: Folders of images, by two digits of their keys and by two more.
FOLDERS = (256, 256 * 256)


def make_plan(
    source: Source,
    *,
    sets: Sequence[str] = (),
    axes: Sequence[str] = (),
    settings: Settings,
) -> Plan:
    """Plan a sweep file, writing nothing.

    Raises:
        SpecError: The file has mistakes.
    """
    digests = Digests(
        settings.home / "digests.json", readonly=True, progress=tell_hashing
    )
    found, given = partial(describe, digests=digests), read_once(source)
    with closing(_Tally(settings)) as tally:
        expansion = settle_precision(
            lambda *more: read_jobs(given, found, sets=(*sets, *more), axes=axes),
            tally.find_stored,
            for_cpu=False,
        )
        metrics = read_metrics(expansion.spec)
        models = [card.model for card in expansion.models]
        networks = ResolvedMetrics(digests)
        networks.check(metrics, models)
        missing = sum(card.missing_bytes for card in expansion.models)
        missing += sum(
            sum(net.located.missing.values()) for net in expansion.control_nets
        )
        return tally.plan(
            expansion,
            Forecast(metrics, expansion.models),
            fetch_bytes=missing + networks.missing_bytes,
        )


class _Tally:
    """Counts the jobs of an expansion against what the database holds."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._database = open_for_reading(settings.database_url, leave_no_trace=True)
        self._costs = measured_costs(self._database) if self._database else {}
        self._comparison: Comparison | None = None
        self._states: Counter[str] = Counter()
        self._inherited: dict[tuple[str, str, str], Mapping[str, Any]] = {}
        self._noted: set[tuple[str, str, str]] = set()
        self._schedulers: dict[str, dict[str, Any]] = {}
        self._evaluations = 0
        self._worker_s = 0.0
        self._is_timed = True
        self._bytes = 0.0
        self._images = self._thumbnails = 0

    def close(self) -> None:
        """Close the database."""
        if self._database:
            self._database.close()

    def find_stored(self, name: str) -> Sweep | None:
        """Return the sweep of a name, or None."""
        return find_sweep(self._database, name) if self._database else None

    def plan(
        self, expansion: Expansion, forecast: Forecast, *, fetch_bytes: int
    ) -> Plan:
        """Count every job, and what its scores take."""
        stored = self.find_stored(expansion.spec.name)
        if self._database and stored:
            self._comparison = Comparison(self._database, stored)
        for card, each in expansion.schedulers:
            options = canonical_json(each.options)
            known = (card.model.fingerprint, each.asked.class_name, options)
            self._inherited[known] = each.inherited
        jobs = self._with_states(expansion)
        for one, state in counted(jobs, "Planning images", total=expansion.count):
            self._states[state] += 1
            self._note_scheduler(one)
            forecast.add(one)
            self._count_unmade(one, state)
        new = self._states.pop("new", 0)
        new_references = self._count_references(forecast.references())
        folder = self._settings.image_folder
        room = look_at_disk(folder) if folder else None
        return Plan(
            sweep=expansion.spec.name,
            total=expansion.count,
            whole=expansion.whole,
            new=new,
            existing=dict(self._states),
            evaluations=self._evaluations,
            worker_s=self._worker_s if self._is_timed else None,
            disk_bytes=round(self._bytes),
            disk_files=self._images + self._thumbnails,
            free_bytes=room.free_bytes if room else None,
            free_inodes=room.free_inodes if room else None,
            fetch_bytes=fetch_bytes,
            cache_free_bytes=downloads.free_bytes() if fetch_bytes else None,
            stored=self._comparison.result() if self._comparison else None,
            scores=forecast.rows(),
            new_references=new_references,
            limits=expansion.spec.stop.limits(),
            order=expansion.spec.order,
            axes=expansion.axis_labels,
            schedulers=list(self._schedulers.values()),
            taken=expansion.taken,
            notes=expansion.notes,
            warnings=(
                *expansion.duplicates,
                *expansion.warnings,
                *self._full(expansion, room),
                *self._warn_of_quota(stored),
                *downloads.too_large("the models", fetch_bytes),
            ),
        )

    def _warn_of_quota(self, stored: Sweep | None) -> Iterator[str]:
        if self._database:
            owner = (stored and stored.owner) or self._settings.user
            needed_s = self._worker_s if self._is_timed else None
            yield from warn_of_quota(self._database, owner, needed_s=needed_s)

    def _count_unmade(self, one: PlannedJob, state: str) -> None:
        if state in ("new", "pending", "leased"):
            self._evaluations += one.evaluations
            self._estimate(one)

    def _count_references(self, references: Sequence[PlannedJob]) -> int:
        """Count the references that do not exist, and what they cost."""
        new = 0
        for start in range(0, len(references), BATCH):
            batch = references[start : start + BATCH]
            known: Mapping[str, Known] = {}
            if self._database:
                with self._database.read() as connection:
                    known = find_known(connection, batch)
            for one in batch:
                row = known.get(one.job.key)
                new += row is None
                self._count_unmade(one, row.state if row else "new")
        return new

    def _count_inodes(self) -> int:
        """Return the files to come, with the folders that are made for them at most."""
        folders = sum(min(self._images, most) for most in FOLDERS)
        return self._images + self._thumbnails + folders

    def _full(self, expansion: Expansion, room: DiskRoom | None) -> Iterator[str]:
        if room is None:
            yield from warn_of_min_free(expansion.spec, self._settings.images)
            return
        free = room.free_bytes
        kept = expansion.spec.min_free_bytes
        if self._bytes > free - kept:
            yield (
                f"the images need about {size(self._bytes)}, and {size(free)} is free "
                f"where {size(kept)} should stay free (limits.min_free); make room, or "
                "set NIGHTSWEEP_IMAGES to a larger disk"
            )
        yield from too_few_inodes(self._count_inodes(), room)

    def _with_states(self, expansion: Expansion) -> Iterator[tuple[PlannedJob, str]]:
        for batch in expansion.batches():
            known = self._find_known(batch)
            for one in batch:
                row = known.get(one.job.key)
                yield one, row.state if row else "new"

    def _find_known(self, batch: Sequence[PlannedJob]) -> Mapping[str, Known]:
        if not self._database:
            return {}
        with self._database.read() as connection:
            if self._comparison:
                return self._comparison.add(connection, batch)
            return find_known(connection, batch)

    def _note_scheduler(self, one: PlannedJob) -> None:
        job, label = one.job, one.scheduler_label or one.scheduler_name
        seen = (job.model.fingerprint, label, one.scheduler_name)
        if seen in self._noted:
            return
        self._noted.add(seen)
        options = canonical_json(job.scheduler_options)
        known = (job.model.fingerprint, job.scheduler_class, options)
        noted = {
            "label": label,
            "name": one.scheduler_name,
            "class": job.scheduler_class,
            "options": dict(job.scheduler_options),
            "inherited": self._inherited[known],
        }
        entry = self._schedulers.setdefault(canonical_json(noted), noted)
        entry.setdefault("models", []).append(job.model.name)

    def _estimate(self, one: PlannedJob) -> None:
        job = one.job
        cost = self._cost(job)
        pixels = job.width * job.height
        self._bytes += cost.image_bytes if cost else pixels * PIXEL_BYTES
        thumbnail = estimate_thumbnail_bytes(job.width, job.height)
        self._bytes += thumbnail
        self._images += 1
        self._thumbnails += thumbnail > 0
        if cost:
            self._worker_s += cost.evaluation_s * one.evaluations
        else:
            self._is_timed = False

    def _cost(self, job: Job) -> Cost | None:
        for model in (job.model.fingerprint, *job.model.former_fingerprints):
            if cost := self._costs.get(kind_of(job, model)):
                return cost
        return None


@click.command(epilog="Example: nightsweep plan examples/first-sweep.yaml")
@spec_options
@limit_options
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def plan(
    spec: str,
    sets: Sequence[str],
    axes: Sequence[str],
    name: str | None,
    *,
    as_json: bool,
) -> None:
    """Say what a sweep would make; write nothing.

    SPEC is a YAML file, - for standard input, or the name of a stored sweep. Counts
    what is new and what exists, and what a stored sweep of that name would gain and
    lose, estimates time and disk from images that were timed here, and shows what each
    scheduler stands for. It writes no row, no message and no file.
    """
    settings = read_settings()
    source = find_source(spec, settings, leave_no_trace=True)
    sets = with_name(sets, name)
    made = make_plan(source, sets=sets, axes=axes, settings=settings)
    for warning in made.warnings:
        talk(f"Warning: {warning}.")
    if as_json:
        write_json([{**asdict(made), "axes": open_axes(made.axes)}])
    else:
        click.echo("\n".join(describe_plan(made)))
