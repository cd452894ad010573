"""Views that people made on nightsweep's: dropped for a migration, then made again.

A migration drops and makes what such views depend on, and a database lets it do neither
while they exist.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError

from storage.errors import WrongDatabaseError
from storage.sql.faults import fault_of, first_line, shown
from storage.sql.recognition import KNOWN_TABLES
from storage.sql.views import VIEWS

#: The views, and then the triggers, which may name views.
_ON_SQLITE = sa.text(
    "SELECT type, name, sql FROM sqlite_master WHERE type IN ('trigger', 'view')"
    " AND name NOT IN :ours ORDER BY type DESC, rowid"
).bindparams(sa.bindparam("ours", sorted(VIEWS), expanding=True))

#: The views on nightsweep's tables and views, each after those that it depends on.
#: nightsweep's own views, which are made anew, have no text here.
_ON_POSTGRESQL = sa.text("""
    WITH RECURSIVE standing (id, depth) AS (
        SELECT oid, 0 FROM pg_class
        WHERE relnamespace = current_schema()::regnamespace AND relname = ANY(:names)
    UNION
        SELECT pg_rewrite.ev_class, standing.depth + 1
        FROM standing
            JOIN pg_depend ON pg_depend.refobjid = standing.id
                AND pg_depend.refclassid = 'pg_class'::regclass
                AND pg_depend.classid = 'pg_rewrite'::regclass
            JOIN pg_rewrite ON pg_rewrite.oid = pg_depend.objid
        WHERE pg_rewrite.ev_class <> standing.id
    )
    SELECT
        pg_class.oid AS id,
        format('%I.%I', nspname, relname) AS name,
        CASE WHEN min(depth) > 0 THEN format(
            'CREATE VIEW %I.%I%s AS %s',
            nspname,
            relname,
            ' WITH (' || array_to_string(reloptions, ', ') || ')',
            pg_get_viewdef(pg_class.oid)
        ) END AS sql
    FROM standing
        JOIN pg_class ON pg_class.oid = standing.id
        JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE relkind = 'v'
    GROUP BY pg_class.oid, nspname, relname, reloptions
    ORDER BY max(depth)
""")

#: What a view has besides its text: triggers, comment, another owner, rights of others.
_BESIDE = sa.text("""
    SELECT pg_get_triggerdef(oid) FROM pg_trigger
    WHERE tgrelid = :id AND NOT tgisinternal
    UNION ALL
    SELECT format('COMMENT ON VIEW %s IS %L', CAST(:name AS text), description)
    FROM obj_description(:id, 'pg_class') AS description
    WHERE description IS NOT NULL
    UNION ALL
    SELECT format('ALTER VIEW %s OWNER TO %s', CAST(:name AS text), relowner::regrole)
    FROM pg_class WHERE oid = :id AND relowner <> current_user::regrole
    UNION ALL
    SELECT format(
        'GRANT %s ON %s TO %s%s',
        privilege_type,
        CAST(:name AS text),
        CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END,
        CASE WHEN is_grantable THEN ' WITH GRANT OPTION' END
    )
    FROM pg_class, aclexplode(relacl) WHERE oid = :id
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Aside:
    """A view or trigger that is set aside.

    Attributes:
        name: Its kind and name, for people.
        drop: The statement that drops it; None where there is nothing to drop.
        again: The statements that make it again, or test it.
    """

    name: str
    drop: str | None
    again: Sequence[str]


@contextmanager
def set_aside(connection: Connection) -> Iterator[None]:
    """Drop the views of other people for a migration, and make them again after it.

    On PostgreSQL, all views keep their triggers, comments, owners and rights.

    Args:
        connection: In the transaction of the migration.

    Raises:
        WrongDatabaseError: A view does not fit the new schema.
        DBAPIError: A view cannot be dropped, since something else depends on it.
    """
    is_sqlite = connection.dialect.name == "sqlite"
    found = [*(_find_in_file(connection) if is_sqlite else _find_on_server(connection))]
    for each in reversed(found):
        if each.drop:
            _execute(connection, each.drop)
    yield
    for each in found:
        _make_again(connection, each)


def _find_in_file(connection: Connection) -> Iterator[_Aside]:
    looks = []
    for kind, name, sql in connection.execute(_ON_SQLITE).all():
        quoted = '"' + name.replace('"', '""') + '"'
        yield _Aside(name=f"{kind} {name}", drop=f"DROP {kind} {quoted}", again=[sql])
        # Making a view does not test it. A view that works now must work afterwards.
        look = f"SELECT * FROM {quoted} LIMIT 0"  # noqa: S608 - it is quoted
        if kind == "view" and _works(connection, look):
            looks.append(_Aside(name=f"{kind} {name}", drop=None, again=[look]))
    yield from looks


def _find_on_server(connection: Connection) -> Iterator[_Aside]:
    found = connection.execute(_ON_POSTGRESQL, {"names": sorted(KNOWN_TABLES)}).all()
    for view_id, name, sql in found:
        values = {"id": view_id, "name": name}
        beside = connection.execute(_BESIDE, values).scalars().all()
        yield _Aside(
            name=f"view {name}",
            drop=f"DROP VIEW {name}" if sql else None,
            again=[sql, *beside] if sql else beside,
        )


def _works(connection: Connection, statement: str) -> bool:
    try:
        _execute(connection, statement)
    except DBAPIError:
        return False
    return True


def _make_again(connection: Connection, one: _Aside) -> None:
    try:
        for statement in one.again:
            _execute(connection, statement)
    except DBAPIError as exc:
        if fault_of(exc) != "mistake":
            raise
        msg = (
            "A view must fit the tables of this nightsweep, but the "
            f"{one.name} of {shown(connection.engine)} does not: {first_line(exc)}; "
            "drop it and start this again, then make it for the tables as they are "
            "now; nothing was changed."
        )
        raise WrongDatabaseError(msg) from exc


def _execute(connection: Connection, statement: str) -> None:
    # A percent sign in somebody's text marks no parameter.
    options = {"no_parameters": True}
    connection.exec_driver_sql(statement, execution_options=options).close()
