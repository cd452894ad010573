"""Lock all jobs, and say so by a file: python -m tests.cluster.lock_jobs FILE."""

import sys
import time
from pathlib import Path

import sqlalchemy as sa

from storage.settings import read_settings
from storage.sql.database import open_database
from storage.sql.schema import jobs

HOURS_S = 7200


def main() -> None:
    """Hold the locks until this is killed."""
    database = open_database(read_settings().database_url)
    with database.write() as connection:
        connection.execute(sa.select(jobs.c.id).with_for_update()).all()
        Path(sys.argv[1]).touch()
        time.sleep(HOURS_S)


if __name__ == "__main__":
    main()
