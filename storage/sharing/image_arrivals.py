"""Images that are imported: rows, then files, whose pixels are looked at first.

A file gets its name and its row in one transaction that holds the job's lock, and only
if nobody made the image meanwhile. So imports may be killed at any moment, be repeated,
and run twice at once, beside workers, too.
"""

import os
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from storage.errors import UsageError
from storage.files.folders import Folder
from storage.files.inputs import InputFolder
from storage.files.pictures import pixel_sha256
from storage.host.environment import Environment
from storage.job import Model, PlannedJob
from storage.jobs.membership import add_jobs
from storage.jobs.results import record_locked
from storage.jobs.sweeps import Sweep
from storage.scores.image_changes import note_images_removed
from storage.sharing.shared_items import File, Member, SharedImage
from storage.sharing.sources import Source, UnreadableError
from storage.sharing.staged_files import Staged, decode, put_in_place, stage
from storage.sql.database import Database
from storage.sql.rows import lock_jobs, model_columns, model_from_row
from storage.sql.schema import MADE_STATES, jobs, model_places, models

#: Images whose files get their names in one transaction, so that it is short.
FILED_IMAGES = 25
#: Pixels that a picture has at most: a few bytes may claim to be a huge one.
MOST_PIXELS = 2**27
#: Bytes of a PNG that hardly compresses: for each pixel, and for its texts.
_PIXEL_BYTES, _TEXT_BYTES = 4, 2**20

Row = Any


class ImageArrivals:
    """Takes images in, and counts what became of each.

    Attributes:
        counts: Images by what became of them: `new`, `here` already, `evicted`,
            `unmade`, `in hand` of a worker, `without file`, `damaged`.
        problems: What is wrong with files of the export, one phrase each.
    """

    def __init__(
        self,
        database: Database,
        folder: Folder,
        source: Source,
        sweeps: Mapping[str, Sweep],
    ) -> None:
        """Take what was opened; nothing is read yet.

        Args:
            database: Where rows go.
            folder: Where files go.
            source: The export.
            sweeps: Where each sweep of the export is here.
        """
        self.counts = Counter[str]()
        self.problems: list[str] = []
        self._database = database
        self._folder = folder
        self._source = source
        self._sweeps = sweeps

    def take_inputs(self, files: Iterable[File]) -> None:
        """Copy input images that are not here.

        Raises:
            ImageStoreError: One cannot be written.
        """
        inputs = InputFolder(self._folder.path)
        for file in files:
            digest = Path(file.name).stem
            if inputs.fault(digest) is None:
                continue
            try:
                _, picture = self._read(file, most_pixels=MOST_PIXELS)
                inputs.save(picture)
            except UnreadableError as exc:
                self.problems.append(str(exc))

    def take(self, images: Sequence[SharedImage]) -> None:
        """Take a page of images in.

        Raises:
            UsageError: An image names a sweep that the export does not have.
            ImageStoreError: A file cannot be written.
            DatabaseError: SQL cannot be reached.
        """
        self._add(images, known=self._read_rows(images))
        rows = self._read_rows(images)
        self._evict(
            image
            for image in images
            if image.is_evicted and rows[image.job.key].state == "pending"
        )
        fates = [_fate(image, rows[image.job.key]) for image in images]
        pairs = [*zip(images, fates, strict=True)]
        self.counts.update(fate for fate in fates if fate != "wanted")
        self._bring([image for image, fate in pairs if fate == "wanted"])

    def _bring(self, wanted: Sequence[SharedImage]) -> None:
        """Take the files of images in."""
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for start in range(0, len(wanted), FILED_IMAGES):
                some = wanted[start : start + FILED_IMAGES]
                staged = [*pool.map(self._stage, some)]
                problems = [each for each in staged if isinstance(each, str)]
                self.problems += problems
                self.counts["damaged"] += len(problems)
                self.counts["without file"] += staged.count(None)
                self._file([each for each in staged if isinstance(each, Staged)])

    def _add(self, images: Sequence[SharedImage], *, known: Collection[str]) -> None:
        """Store the rows that are missing, and what sweeps they are members of.

        Args:
            images: A page of them.
            known: Keys of those that are here; they keep the names of their schedulers.
        """
        facts = self._read_models({each.job.model.fingerprint for each in images})
        wanted: dict[tuple[str, bool], list[tuple[SharedImage, Member]]] = {}
        for image in images:
            for member in image.members:
                place = (member.sweep, member.is_current)
                wanted.setdefault(place, []).append((image, member))
        for (name, is_current), members in wanted.items():
            if name not in self._sweeps:
                msg = (
                    "An export must have the sweeps of its images, but "
                    f"{self._source.where} has no {name}; export it again."
                )
                raise UsageError(msg)
            sweep = self._sweeps[name]
            if not is_current:
                sweep = replace(sweep, revision=0)
            planned = [
                _as_known(image.planned(member), facts, known)
                for image, member in members
            ]
            add_jobs(self._database, sweep, planned)

    def _read_models(self, fingerprints: Collection[str]) -> dict[str, Model]:
        """Return what is known here of models; an export may know less."""
        query = sa.select(*model_columns()).join_from(models, model_places)
        with self._database.read() as connection:
            rows = connection.execute(
                query.where(models.c.fingerprint.in_(fingerprints))
            )
            return {row.model_fingerprint: model_from_row(row) for row in rows}

    def _read_rows(self, images: Sequence[SharedImage]) -> dict[str, Row]:
        columns = (jobs.c.id, jobs.c.key, jobs.c.state, jobs.c.priority)
        keys = [each.job.key for each in images]
        with self._database.read() as connection:
            query = sa.select(*columns).where(jobs.c.key.in_(keys))
            return {row.key: row for row in connection.execute(query)}

    def _stage(self, image: SharedImage) -> "Staged | str | None":
        """Write an image's file, not in its place, if its pixels are as they should.

        Returns:
            The file; a phrase about what is wrong; or None if the export has no file.

        Raises:
            ImageStoreError: It cannot be written.
        """
        if image.file is None or image.result is None:
            return None
        try:
            most = image.job.width * image.job.height
            content, picture = self._read(image.file, most_pixels=most)
        except UnreadableError as exc:
            return str(exc)
        if pixel_sha256(picture) != image.result.pixel_sha256:
            return f"{image.file.name} has other pixels than were recorded"
        result = replace(image.result, size_bytes=len(content))
        return stage(image, result, content, images=self._folder.path)

    def _read(self, file: File, *, most_pixels: int) -> tuple[bytes, Any]:
        """Return the content of a PNG, and its picture in RGB.

        Raises:
            UnreadableError: It is no PNG, or has more pixels.
        """
        most_pixels = min(most_pixels, MOST_PIXELS)
        most_bytes = _PIXEL_BYTES * most_pixels + _TEXT_BYTES
        content = self._source.read(file, most_bytes=most_bytes)
        return content, decode(content, file.name, most_pixels=most_pixels)

    def _file(self, staged: Sequence[Staged]) -> None:
        """Give files their names and their rows, where the images are still unmade."""
        by_key = {each.key: each for each in staged}
        is_free = jobs.c.state.not_in((*MADE_STATES, "leased"))
        free = sa.and_(jobs.c.key.in_(by_key), is_free)
        try:
            with self._database.write() as connection:
                locked = lock_jobs(connection, free)
                query = sa.select(jobs.c.id, jobs.c.key).where(locked)
                found = {row.id: by_key[row.key] for row in connection.execute(query)}
                put_in_place(found.values(), self._folder.path)
                self._record(connection, found)
        finally:
            for each in staged:
                each.discard()
        self.counts["new"] += len(found)
        self.counts["here"] += len(staged) - len(found)

    def _evict(self, images: Iterable[SharedImage]) -> None:
        """Take in images without files, which nothing makes again by itself."""
        evicted = {
            each.job.key: Staged(image=each, result=each.result)
            for each in images
            if each.result
        }
        if not evicted:
            return
        # What an active sweep of this home wants is made.
        unwanted = sa.and_(jobs.c.state == "pending", jobs.c.priority.is_(None))
        with self._database.write() as connection:
            locked = lock_jobs(connection, sa.and_(jobs.c.key.in_(evicted), unwanted))
            query = sa.select(jobs.c.id, jobs.c.key).where(locked)
            found = {row.id: evicted[row.key] for row in connection.execute(query)}
            self._record(connection, found)
            gone = sa.update(jobs).where(jobs.c.id.in_(found))
            connection.execute(gone.values(state="evicted"))
            note_images_removed(connection, found)

    def _record(self, connection: Connection, found: Mapping[int, Staged]) -> None:
        by_maker: dict[str, dict[int, Staged]] = {}
        for job_id, each in found.items():
            maker = repr((each.image.worker, each.image.environment))
            by_maker.setdefault(maker, {})[job_id] = each
        for some in by_maker.values():
            image = next(iter(some.values())).image
            record_locked(
                connection,
                {job_id: each.result for job_id, each in some.items()},
                worker=image.worker,
                environment=image.environment or Environment(gpu="", host=""),
                folder_id=self._folder.id,
            )


def _fate(image: SharedImage, row: Row) -> str:
    """Return what becomes of an image; `wanted` if its file is to be taken in."""
    if row.state == "evicted":
        return "evicted"
    if row.state == "done":
        return "here"
    if image.is_evicted:
        return "evicted" if row.priority is None else "unmade"
    if image.result is None:
        return "unmade"
    return "in hand" if row.state == "leased" else "wanted"


def _as_known(
    one: PlannedJob, facts: Mapping[str, Model], known: Collection[str]
) -> PlannedJob:
    """Return a planned job that changes nothing of what is known here."""
    here = facts.get(one.job.model.fingerprint)
    if here:
        one = replace(one, job=replace(one.job, model=here.at(one.job.model)))
    return replace(one, scheduler_names=()) if one.job.key in known else one
