"""The metrics that nightsweep exports; `docs/monitoring.md` explains each of them."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path

from producer.display.disk_room import look_at_disk
from producer.monitoring.exposition import Family
from storage.files.free_space import most_wanted
from storage.fleet.finished_work import PHASES, FinishedWork
from storage.fleet.live_counts import Counts, LiveCounts
from storage.fleet.progress import Worker, list_workers
from storage.fleet.queue_figures import (
    SweepRow,
    count_blocked_groups,
    count_leases,
    last_finished_s,
    list_sweep_rows,
    longest_wait_s,
)
from storage.jobs.quotas import Quota, list_quotas
from storage.sql.database import Database
from storage.sql.schema import JOB_STATES, SWEEP_STATES

#: Sweeps that have time series of their own: the newest.
NAMED_SWEEPS = 100
#: The label of all older sweeps together; no sweep can have this name.
OTHERS = "(others)"

#: Owners that have time series of their own: those who used most.
NAMED_OWNERS = 50
#: The label of sweeps without an owner.
NO_OWNER = "(none)"


def up(*, is_up: bool) -> Family:
    """Return whether the database could be read, the only metric if it could not."""
    text = "Whether the database could be read."
    return Family(name="nightsweep_up", text=text).add(float(is_up))


class Figures:
    """Reads all metrics; its counters begin when it is made.

    One thread may use it at a time.
    """

    def __init__(self, images: Path | None, *, start: datetime | None = None) -> None:
        """Take the folder of images, None for a bucket, and when counters begin."""
        self._images = images
        self._counts = LiveCounts()
        self._work = FinishedWork(start)

    def read(self, database: Database) -> list[Family]:
        """Return all metrics.

        Raises:
            DatabaseError: The database cannot be read.
        """
        rows, counts = list_sweep_rows(database), self._counts.look(database)
        return [
            up(is_up=True),
            *_of_sweeps(rows, counts),
            *_of_owners(list_quotas(database)),
            *_of_queue(database),
            *self._of_work(database),
            *_of_workers(list_workers(database)),
            *self._of_disk(database),
        ]

    def _of_work(self, database: Database) -> Iterator[Family]:
        images = Family(
            name="nightsweep_images_total",
            text="Images that were finished since this exporter started.",
            kind="counter",
        )
        seconds = Family(
            name="nightsweep_image_seconds_total",
            text="Seconds of work for these images, by phase.",
            kind="counter",
        )
        for (gpu, host), work in sorted(self._work.look(database).items()):
            images.add(work["images"], gpu=gpu, host=host)
            for phase in PHASES:
                seconds.add(work[phase], gpu=gpu, host=host, phase=phase)
        yield from (images, seconds)

    def _of_disk(self, database: Database) -> Iterator[Family]:
        if self._images is None:
            return
        try:
            room = look_at_disk(self._images)
        except OSError:  # the other metrics do not need it
            return
        yield Family(
            name="nightsweep_image_disk_free_bytes",
            text="Free bytes on the disk of the images, as this host sees it.",
        ).add(room.free_bytes)
        yield Family(
            name="nightsweep_image_disk_used_bytes",
            text="Bytes that files take on that disk, of anybody.",
        ).add(room.used_bytes)
        yield Family(
            name="nightsweep_image_disk_reserved_bytes",
            text="Bytes that active sweeps want to stay free there.",
        ).add(most_wanted(database))
        if room.free_inodes is not None:
            yield Family(
                name="nightsweep_image_disk_free_inodes",
                text="Files that can still be made on that disk.",
            ).add(room.free_inodes)


def _of_sweeps(rows: Sequence[SweepRow], counts: Counts) -> Iterator[Family]:
    jobs = Family(name="nightsweep_jobs", text="Jobs by sweep and state.")
    named, others = rows[:NAMED_SWEEPS], rows[NAMED_SWEEPS:]
    for row in named:
        _add_states(jobs, row.name, counts.get(row.id, {}))
    if others:
        total: Counter[str] = Counter()
        for row in others:
            total.update(counts.get(row.id, {}))
        _add_states(jobs, OTHERS, total)
    yield jobs
    active = (counts.get(row.id, {}) for row in rows if row.state == "active")
    yield Family(
        name="nightsweep_unmade_jobs",
        text="Jobs of active sweeps that wait or are in hand.",
    ).add(sum(one.get("pending", 0) + one.get("leased", 0) for one in active))
    states = Counter(row.state for row in rows)
    by_state = Family(name="nightsweep_sweeps", text="Sweeps by state.")
    for state in SWEEP_STATES:
        if state != "removed":
            by_state.add(states[state], state=state)
    yield by_state


def _of_owners(found: Sequence[Quota]) -> Iterator[Family]:
    seconds = Family(
        name="nightsweep_owner_gpu_seconds_total",
        text="GPU seconds that the images of an owner took.",
        kind="counter",
    )
    left = Family(
        name="nightsweep_owner_quota_left_seconds",
        text="GPU seconds that are left of an owner's quota.",
    )
    by_use = sorted(found, key=lambda one: one.total_s, reverse=True)
    for one in by_use[:NAMED_OWNERS]:
        seconds.add(one.total_s, owner=one.owner or NO_OWNER)
        if one.left_s is not None:
            left.add(one.left_s, owner=one.owner or NO_OWNER)
    if others := by_use[NAMED_OWNERS:]:
        seconds.add(sum(one.total_s for one in others), owner=OTHERS)
    yield from (seconds, left)


def _add_states(jobs: Family, sweep: str, counts: dict[str, int]) -> None:
    for state in JOB_STATES:
        jobs.add(counts.get(state, 0), sweep=sweep, state=state)


def _of_queue(database: Database) -> Iterator[Family]:
    held, ended = count_leases(database)
    yield Family(name="nightsweep_leases", text="Jobs that workers have in hand.").add(
        held
    )
    yield Family(
        name="nightsweep_expired_leases",
        text="Jobs in hand whose workers did not renew their leases.",
    ).add(ended)
    yield Family(
        name="nightsweep_queue_oldest_seconds",
        text="Age of the job that is next in its group, the highest of all groups.",
    ).add(longest_wait_s(database))
    yield Family(
        name="nightsweep_last_image_timestamp_seconds",
        text="When the last image was finished, in seconds since 1970; 0 for never.",
    ).add(last_finished_s(database))
    blocked = Family(
        name="nightsweep_blocked_groups",
        text="Groups of jobs that some worker of a host could not make.",
    )
    for host, count in sorted(count_blocked_groups(database).items()):
        blocked.add(count, host=host)
    yield blocked


def _of_workers(found: Iterable[Worker]) -> Iterator[Family]:
    heartbeat = Family(
        name="nightsweep_worker_heartbeat_age_seconds",
        text="Seconds since a worker's last sign of life.",
    )
    phase = Family(
        name="nightsweep_worker_phase", text="1 for the phase in which a worker is."
    )
    rows = Family(
        name="nightsweep_worker_batch_rows",
        text="Images that a worker makes at once now.",
    )
    pace = Family(
        name="nightsweep_worker_images_per_second", text="A worker's recent pace."
    )
    run = Family(
        name="nightsweep_worker_rows_total",
        text="Rows of a worker's batches since it was started, call by call.",
        kind="counter",
    )
    used = Family(
        name="nightsweep_worker_used_rows_total",
        text="Those of these rows that served a job.",
        kind="counter",
    )
    for worker in _newest(found):
        labels = {"host": worker.host, "worker": worker.name}
        heartbeat.add(worker.silent_s, **labels, gpu=worker.gpu)
        phase.add(1, **labels, phase=worker.phase)
        rows.add(worker.batch_rows, **labels)
        pace.add(worker.images_per_s or 0, **labels)
        run.add(worker.rows_run, **labels)
        used.add(worker.rows_used, **labels)
    yield from (heartbeat, phase, rows, pace, run, used)


def _newest(found: Iterable[Worker]) -> Iterable[Worker]:
    """Return one worker for each host and name.

    A worker that was restarted has a second row until the first is forgotten, and each
    set of labels may be there once.
    """
    ordered = sorted(found, key=lambda one: (one.host, one.name, -one.silent_s))
    return {(worker.host, worker.name): worker for worker in ordered}.values()
