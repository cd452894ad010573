"""A submitted sweep, made many times as large within PostgreSQL."""

import sys

import psycopg

#: Columns that differ between a job and its copies; all else stays.
JOB = {
    "id": "id + %(offset)s",
    "key": "md5(key || ' ' || %(copy)s::text)",
    "seed": "seed + %(seeds)s",
    "position": "position + %(offset)s",
}
MEMBER = {"job_id": "job_id + %(offset)s", "position": "position + %(offset)s"}
COLUMNS = """
    SELECT attname FROM pg_attribute
    WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum
"""
#: Indexes are made at the end, as a restored backup has them; sorted ones are kept.
INDEXES = """
    SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid), conname
    FROM pg_index LEFT JOIN pg_constraint ON conindid = indexrelid AND contype = 'u'
    WHERE indrelid IN ('jobs'::regclass, 'sweep_jobs'::regclass) AND NOT indisprimary
"""


def multiply(connection: psycopg.Connection, copies: int) -> None:
    """Add copies of all jobs of the only sweep, each with seeds of its own."""
    ask = connection.execute
    ask("SET session_replication_role = replica")  # its keys point where theirs do
    ask("SET maintenance_work_mem = '1GB'")
    found = ask(INDEXES).fetchall()
    for index, _, constraint in found:
        drop = f"ALTER TABLE jobs DROP CONSTRAINT {constraint}"
        ask(drop if constraint else f"DROP INDEX {index}")
    rows, seeds = ask("SELECT max(id), max(seed) + 1 FROM jobs").fetchone() or (0, 0)
    for copy in range(1, copies):
        values = {"offset": rows * copy, "copy": copy, "seeds": seeds * copy}
        for table, key, changed in (
            ("jobs", "id", JOB),
            ("sweep_jobs", "job_id", MEMBER),
        ):
            names = [name for (name,) in ask(COLUMNS, [table])]
            made = ", ".join(changed.get(name, name) for name in names)
            ask(
                f"INSERT INTO {table} ({', '.join(names)}) SELECT {made} "  # noqa: S608
                f"FROM {table} WHERE {key} <= {rows} ORDER BY {key}",
                values,
            )
        print(f"{copy + 1} of {copies}", file=sys.stderr, flush=True)
    for _, definition, constraint in found:
        ask(definition)
        if constraint:
            ask(f"ALTER TABLE jobs ADD UNIQUE USING INDEX {constraint}")
    ask("UPDATE job_settings SET last_id = last_id + %s", [rows * (copies - 1)])
    ask("SELECT setval('jobs_id_seq', (SELECT max(id) FROM jobs))")
    ask("SET session_replication_role = origin")
    ask("VACUUM ANALYZE")
