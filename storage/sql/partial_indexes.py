"""The partial indexes of the schema, for the migrations and for their test.

Apart from the tables, since naming a dialect loads it: 0.08 s that no command needs.
"""

from sqlalchemy import Index

from storage.sql.schema import LEASED, RUNNABLE, jobs, metadata

__all__ = ["metadata"]

Index(
    "ix_jobs_runnable",
    jobs.c.group_key,
    jobs.c.priority,
    jobs.c.position,
    sqlite_where=RUNNABLE,
    postgresql_where=RUNNABLE,
)
Index(
    "ix_jobs_leased",
    jobs.c.lease_until,
    sqlite_where=LEASED,
    postgresql_where=LEASED,
)
