"""How wide a batch may be, as found out by all workers together."""

import sqlalchemy as sa

from storage.job import Job
from storage.sql.database import Database, insert_into, utc_now
from storage.sql.schema import widths


class DatabaseWidths:
    """The widths that workers noted, by what decides the memory of a batch.

    That is model, dtype, size, whether guidance doubles the rows, and the name of the
    GPU. Running out of memory only ever lowers a width, so two workers may note it in
    any order. A calibration has painted at its width: that width replaces any earlier
    one, even one that was lowered.
    """

    def __init__(self, database: Database) -> None:
        """Keep the widths in `database`."""
        self._database = database

    def get(self, job: Job, gpu: str) -> int | None:
        """Return the width for jobs like `job` on `gpu`, or None if unknown.

        Raises:
            DatabaseError: The database cannot be read.
        """
        alike = (widths.c[name] == value for name, value in _place(job, gpu).items())
        query = sa.select(widths.c.batch_width).where(*alike)
        with self._database.read() as connection:
            return connection.execute(query).scalar()

    def set(
        self,
        job: Job,
        gpu: str,
        *,
        width: int,
        reason: str,
        images_per_s: float | None = None,
    ) -> None:
        """Note a width for jobs like `job` on `gpu`.

        Args:
            job: Any of those jobs.
            gpu: Name of the GPU, or of the processor.
            width: Rows of a batch, 1 or more.
            reason: `memory` where a wider batch did not fit, or `calibrated`.
            images_per_s: What a calibration measured at that width.

        Raises:
            DatabaseError: The database cannot be written.
        """
        place = _place(job, gpu)
        noted = {
            "batch_width": width,
            "reason": reason,
            "images_per_s": images_per_s,
            "noted_at": utc_now(),
        }
        is_lower = widths.c.batch_width > width if reason == "memory" else None
        with self._database.write() as connection:
            connection.execute(
                insert_into(connection, widths)
                .values(**place, **noted)
                .on_conflict_do_update(
                    index_elements=list(place), set_=noted, where=is_lower
                )
            )


def _place(job: Job, gpu: str) -> dict[str, str | int | bool]:
    return {
        "model_fingerprint": job.model.fingerprint,
        "dtype": job.dtype,
        "width": job.width,
        "height": job.height,
        "guided": job.guidance > 1,
        "gpu": gpu,
    }
