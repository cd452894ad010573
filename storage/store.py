"""The store, for notebooks and scripts: find images, open them, query SQL.

>>> from nightsweep import Store
>>> store = Store()
>>> rows = store.find(sweep="first-sweep", scheduler="ddim", steps="10..20")
>>> store.image(rows[0]["key"]).show()
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import sqlalchemy as sa

from storage.errors import ImageStoreError, UsageError
from storage.files.images import relative_path
from storage.files.places import find_local
from storage.jobs import sweep_counts, sweeps
from storage.jobs.records import Record, read_records
from storage.queries import answers
from storage.queries.answers import Wanted, read_wanted
from storage.queries.column_kinds import Column
from storage.queries.frames import make_frame
from storage.queries.groups import Groups, group
from storage.queries.parsing import Asked, refine
from storage.queries.terms import Query
from storage.settings import Settings, settings_at
from storage.sql.database import Database, open_for_reading
from storage.sql.raw_queries import ask
from storage.sql.schema import environments, jobs, metrics, results
from storage.sql.views import select_image_scores

if TYPE_CHECKING:
    from PIL import Image

    from storage.files.recognition import Copy


class Store:
    """Read-only access to everything that was made.

    Each query opens the database anew, so its answer is current, even if there was no
    database before. Without a database, the answers are empty.
    """

    def __init__(self, home: Path | str | Settings | None = None) -> None:
        """Take a state folder or settings, by default those of the environment.

        Raises:
            UsageError: A setting cannot be used.
        """
        self.settings = settings_at(home)
        self._is_closed = False

    def __enter__(self) -> Self:
        """Return the store itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the store."""
        self.close()

    def close(self) -> None:
        """Refuse further queries; nothing stays open between queries anyway."""
        self._is_closed = True

    def find(  # noqa: PLR0913  the short forms are its interface
        self,
        query: Query | str = "",
        *,
        sweep: Asked = None,
        scheduler: Asked = None,
        steps: Asked = None,
        seed: Asked = None,
        guidance: Asked = None,
        clip_skip: Asked = None,
        eta: Asked = None,
        tag: str | None = None,
        prompt: str | None = None,
        model: str | None = None,
        state: Asked = None,
        sort: str = "",
        limit: int | None = None,
        columns: str = "",
        after: str = "",
    ) -> list[dict[str, Any]]:
        """Return rows of the view `images`, or of `sweep_images` if a sweep is named.

        Args:
            query: As for `nightsweep find`: `scheduler:ddim steps:..20 "red fox"`.
            sweep: Members of this sweep.
            scheduler: One name or several, as in a spec.
            steps: 20, [8, 20], "8,20" or "10..20".
            seed: The same.
            guidance: The same.
            clip_skip: The same.
            eta: The same.
            tag: The whole tag; empty for images without one.
            prompt: Part of the prompt, in any case.
            model: Part of the model's name.
            state: One of `storage.sql.schema.JOB_STATES`, or several.
            sort: Columns of queries, with commas; `-time` begins with the slowest.
            limit: Most rows to return.
            columns: Columns of queries, with commas, instead of those of the view.
            after: Key of the last row before these.

        Raises:
            UsageError: The query cannot be read, or a name in it does not exist.
            DatabaseError: The database cannot be read.
        """
        query = refine(
            query,
            sweep=sweep,
            scheduler=scheduler,
            steps=steps,
            seed=seed,
            guidance=guidance,
            clip_skip=clip_skip,
            eta=eta,
            tag=tag,
            prompt=prompt,
            model=model,
            state=state,
        )
        wanted = read_wanted(sort=sort, limit=limit, columns=columns, after=after)
        return list(self.stream(query, wanted))

    def frame(
        self,
        query: Query | str = "",
        *,
        library: str | None = None,
        sort: str = "",
        limit: int | None = None,
        columns: str = "",
        after: str = "",
    ) -> Any:
        """Return the rows of `find` as a DataFrame of pandas or polars.

        Args:
            query: As in `find`.
            library: `pandas` or `polars`; None for the one that is installed.
            sort: As in `find`.
            limit: As in `find`.
            columns: As in `find`.
            after: As in `find`.

        Raises:
            UsageError: The query cannot be read, a name in it does not exist, or the
                library is not installed.
            DatabaseError: The database cannot be read.
        """
        wanted = read_wanted(sort=sort, limit=limit, columns=columns, after=after)
        rows = list(self.stream(query, wanted))
        return make_frame(rows, self.fields(query, wanted), library=library)

    def stream(
        self, query: Query | str, wanted: Wanted | None = None
    ) -> Iterator[dict[str, Any]]:
        """Yield the rows of `find` one at a time, for answers of any length.

        Raises:
            UsageError: A name in the query does not exist.
            DatabaseError: The database cannot be read.
        """
        with self._reading() as database:
            if database:
                yield from answers.find(database, query, wanted)

    def count(self, query: Query | str = "") -> int:
        """Count the images that a query means.

        Raises:
            UsageError: A name in the query does not exist.
            DatabaseError: The database cannot be read.
        """
        with self._reading() as database:
            return answers.count(database, query) if database else 0

    def fields(
        self, query: Query | str = "", wanted: Wanted | None = None
    ) -> dict[str, type]:
        """Return the names of the columns of an answer, with their types in Python.

        Raises:
            UsageError: A name in the query does not exist.
            DatabaseError: The database cannot be read.
        """
        with self._reading() as database:
            return answers.read_fields(database, query, wanted)

    def group(
        self,
        query: Query | str,
        columns: Sequence[Column],
        *,
        percentiles: Sequence[float] = (),
    ) -> Groups:
        """Count and average the images of a query; see `storage.queries.groups`.

        Raises:
            UsageError: A name in the query does not exist.
            DatabaseError: The database cannot be read.
        """
        with self._reading() as database:
            if database is None:
                return Groups(rows=[])
            return group(database, query, columns, percentiles=percentiles)

    def sweep_words(self, query: Query) -> Sequence[str]:
        """Return the words of a query that mean sweeps, though they say no `sweep:`.

        Raises:
            UsageError: A name in the query does not exist.
            DatabaseError: The database cannot be read.
        """
        with self._reading() as database:
            return answers.read_meaning(database, query).sweep_words if database else ()

    def differing(self, query: Query | str, *, limit: int | None = None) -> list[str]:
        """Return which of `answers.DIFFERING` and extras differ in rows of `stream`.

        Raises:
            UsageError: A name in the query does not exist.
            DatabaseError: The database cannot be read.
        """
        with self._reading() as database:
            if database is None:
                return []
            return answers.find_differing(database, query, limit=limit)

    def show(self, key: str) -> dict[str, Any]:
        """Return everything that is known about one image.

        Args:
            key: Its key, or the beginning of it.

        Returns:
            The row of the view `images`, and: `file`, the absolute path or None;
            `folder`, host and path of the image folder that it was written to, or
            None where that is not known; `sweeps`, its memberships, each with
            `sweep`, `position`, `scheduler_label` and `cell`; `scores`, its rows of
            the view `image_scores`; `ratings`, those of `image_ratings`, without the
            key; `environment`, versions and the like by name.

        Raises:
            UsageError: No key, or more than one, begins with `key`.
        """
        # Here and below: `find`, which starts often, needs none of this.
        from storage.files.folders import find_place
        from storage.ratings.rating import read_ratings

        with self._one(key) as (database, row):
            file = f"{self.settings.images}/{row['path']}" if row["path"] else None
            ratings = read_ratings(database, [row["key"]])
            return {
                **row,
                "file": file,
                "folder": find_place(database, row["key"])[1],
                "sweeps": _memberships(database, row["key"]),
                "ratings": ratings.get(row["key"], []),
                **_made_with(database, row["key"]),
            }

    def records(self, keys: Sequence[str]) -> Iterator[Record]:
        """Yield the jobs of some whole keys, in any order, and how each was made.

        Raises:
            DatabaseError: The database cannot be read.
        """
        with self._reading() as database:
            if database:
                yield from read_records(database, keys)

    def path(self, key: str) -> Path:
        """Return where the image of a job is, or will be.

        Raises:
            UsageError: No key, or more than one, begins with `key`, or the image
                folder belongs to another database.
            ImageStoreError: The image is in another image folder.
        """
        with self._one(key) as (database, row):
            path = relative_path(row["key"])
            file = find_local(self.settings.images, path)
            if row["path"] and not file:
                self._refuse_other_folder(database, row["key"])
        return file or Path(f"{self.settings.images}/{path}")

    def recognise(self, file: Path) -> "list[Copy]":
        """Return the images that a file holds, wherever it lies; none if it is no copy.

        Raises:
            UsageError: The file is no picture.
            DatabaseError: The database cannot be read.
        """
        from storage.files.recognition import recognise

        with self._reading() as database:
            return recognise(database, file) if database else []

    def image(self, key: str) -> "Image.Image":
        """Open an image as RGB, with all of its pixels read.

        Args:
            key: Its key, or the beginning of it.

        Raises:
            UsageError: No key, or more than one, begins with `key`, the image is
                not made yet, or the image folder belongs to another database.
            ImageStoreError: The file is gone or damaged, or in another image folder.
        """
        with self._one(key) as (database, row):
            state, path, error = row["state"], row["path"], row["error"]
            file = find_local(self.settings.images, path) if path else None
            if path and not file:
                self._refuse_other_folder(database, row["key"])
        if state != "done":
            reason = f" ({error})" if error else ""
            way_out = "`nightsweep status` says how far its sweep is"
            if state == "evicted":
                way_out = "`nightsweep retry KEY --evicted` makes it again"
            msg = (
                f"an image must be done to be opened, but {key} is {state}{reason}; "
                f"{way_out}."
            )
            raise UsageError(msg)
        return open_image(file or Path(f"{self.settings.images}/{path}"))

    def sweeps(self) -> list[dict[str, Any]]:
        """Return every sweep, oldest first: its spec, its axes, its jobs by state."""
        with self._reading() as database:
            if not database:
                return []
            return [
                {**asdict(each), "jobs": sweep_counts.count_states(database, each)}
                for each in sweeps.list_sweeps(database)
            ]

    def speeds(
        self, *, model: str | None = None, gpu: str | None = None
    ) -> list[dict[str, Any]]:
        """Return what calibrations measured: fields of `storage.jobs.speeds.Speed`.

        They are sorted by model, GPU, size, scheduler and steps, older ones first.

        Args:
            model: Part of the model's name.
            gpu: Part of the GPU's name.

        Raises:
            DatabaseError: The database cannot be read.
        """
        from storage.jobs import speeds

        with self._reading() as database:
            found = speeds.read(database, model=model, gpu=gpu) if database else []
            return [asdict(each) for each in found]

    def sql(self, query: str) -> list[dict[str, Any]]:
        """Return the rows of a query over the views and `speeds`.

        The query is one SELECT, and cannot write to any table or create any file. A
        function of a PostgreSQL server may do more, as far as the user's rights
        allow. Without a database there are no rows.

        Raises:
            UsageError: The query is not one SELECT.
            DatabaseError: The database cannot be read.
        """
        with self._reading() as database:
            return ask(database, query) if database else []

    def _refuse_other_folder(self, database: Database, key: str) -> None:
        from storage.files.folders import find_place, look_at_folder

        here = look_at_folder(database, self.settings.images)
        row_id, place = find_place(database, key)
        if row_id is not None and row_id != here.id:
            msg = (
                f"an image must be in this image folder to be opened, but {key} was "
                f"written to {place}, and this is {here.place}; open it there, or set "
                "NIGHTSWEEP_IMAGES to where that folder is mounted here."
            )
            raise ImageStoreError(msg)

    @contextmanager
    def _one(self, key: str) -> Iterator[tuple[Database, dict[str, Any]]]:
        with self._reading() as database:
            if database is None:
                msg = f"key must be a job's, got {key!r}; there is no database yet."
                raise UsageError(msg)
            yield database, answers.find_one(database, key)

    @contextmanager
    def _reading(self) -> Iterator[Database | None]:
        if self._is_closed:
            msg = "a store must be open to be read, but this is closed; make another."
            raise UsageError(msg)
        database = open_for_reading(self.settings.database_url)
        try:
            yield database
        finally:
            if database:
                database.close()


def open_image(path: Path) -> "Image.Image":
    """Open an image file as RGB, with all of its pixels read.

    Raises:
        ImageStoreError: The file is gone or damaged.
    """
    # Imported here: most queries open no image.
    from PIL import Image

    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except (OSError, SyntaxError) as exc:  # Pillow raises it for a broken PNG
        msg = (
            f"an image must be a readable file, but {path} gives: {exc}; is "
            "NIGHTSWEEP_IMAGES the folder that the workers write to?"
        )
        raise ImageStoreError(msg) from exc


def _memberships(database: Database, key: str) -> list[dict[str, Any]]:
    rows = answers.find_memberships(database, key)
    names = ("sweep", "position", "scheduler_label")
    return [
        {**{name: row[name] for name in names}, "cell": json.loads(row["cell"])}
        for row in rows
    ]


def _made_with(database: Database, key: str) -> dict[str, Any]:
    job_id = sa.select(jobs.c.id).where(jobs.c.key == key).scalar_subquery()
    details = (
        sa.select(environments.c.details)
        .join(results, results.c.environment_id == environments.c.id)
        .where(results.c.job_id == job_id)
    )
    scored = select_image_scores().where(jobs.c.key == key)
    by_metric = (metrics.c.name, metrics.c.version, metrics.c.model, metrics.c.id)
    with database.read() as connection:
        found = connection.execute(scored.order_by(*by_metric))
        return {
            "scores": [dict(row._mapping) for row in found],
            "environment": json.loads(connection.execute(details).scalar() or "{}"),
        }
