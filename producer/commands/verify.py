"""The command `nightsweep verify`: rows and image files, compared both ways."""

import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

import click

from producer.display.amounts import images as count_images
from producer.display.hashing import tell_hashing
from producer.display.json_lines import json_option, write_json
from producer.display.messages import talk
from producer.display.tables import TABLE_ROWS, Column, write_table
from producer.display.text_width import terminal_width
from producer.health.audit import Audit
from producer.health.missing_images import describe_missing
from producer.health.parts import Part, read_part
from producer.health.verify_models import verify_models
from producer.options import program
from producer.query_options import QueryCommand, query_options
from producer.submission.opening import tell_who_works, wake
from storage.errors import ImageStoreError, UsageError
from storage.files import folders, repairs, verification
from storage.files.folders import Folder
from storage.files.mislabels import NameCheck
from storage.files.orphans import key_at
from storage.files.verification import EVERYWHERE, Condition, Finding
from storage.jobs.sweeps import NORMAL_PRIORITY
from storage.models.fingerprint import Digests
from storage.queries.terms import Query
from storage.settings import Settings, read_settings
from storage.sql.database import Database, open_existing, open_for_reading

FINDING_COLUMNS = (
    Column(name="problem", read=lambda row: row["problem"].replace("_", " ")),
    Column(name="path", read=lambda row: row["path"]),
    Column(name="detail", read=lambda row: row["detail"], narrowest=12),
    Column(name="repair", read=lambda row: row["repair"] or "-", narrowest=12),
)


@click.command(cls=QueryCommand, epilog="Example: nightsweep verify first-sweep --full")
@query_options("--state")
@click.option(
    "--full",
    is_flag=True,
    help="Decode every file and compare its pixels too, not only sizes.",
)
@click.option(
    "--models",
    "only_models",
    is_flag=True,
    help="Instead, hash the files of the models that jobs name, and compare them with "
    "what was planned.",
)
@click.option(
    "--repair",
    is_flag=True,
    help="Queue missing and damaged images again, move orphans to the folder "
    f"{repairs.ORPHANS} of the image folder, remove what killed workers and an "
    "interrupted rm left and thumbnails without use, and give schedulers their true "
    "names.",
)
@click.option(
    "--force",
    is_flag=True,
    help="With --repair: treat images in other image folders as lost, and also move "
    "away files that were here before the folder became this database's.",
)
@json_option
def verify(
    query: Query,
    *,
    full: bool,
    only_models: bool,
    repair: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Compare image files with what SQL says of them.

    QUERY chooses images as for `nightsweep find`; if there is one, nothing looks for
    files without an image.

    Finds images that are missing, truncated or, with --full, altered; files that belong
    to no finished job; damaged thumbnails; temporary files of killed workers; and old
    rows with the wrong name of their scheduler. If each host has an image folder of its
    own, it checks what was written to this host's. It is safe to run while workers run,
    to interrupt and to repeat. The exit code is 1 if something is wrong and was not
    repaired.

    With --models, every file of every model that jobs name is hashed, at each of its
    places on this machine, even if its digest is remembered.
    """
    if only_models and (full or repair or force):
        msg = (
            "--models looks at models alone and repairs nothing, got it with --full, "
            "--repair or --force; run it by itself."
        )
        raise UsageError(msg)
    settings = read_settings()
    opening = open_existing if repair else open_for_reading
    database = opening(settings.database_url)
    if database is None:
        talk("There is no database yet, so there is nothing to check.")
        return
    with closing(database):
        part = read_part(database, query)
        sweep = part.sweep
        if only_models:
            _refuse_part(part)
            is_fine = verify_models(database, settings, sweep=sweep, as_json=as_json)
            sys.exit(0 if is_fine else 1)
        digests = Digests(settings.home / "digests.json", progress=tell_hashing)
        names = NameCheck(database, digests=digests, sweep=sweep)
        force = force and repair
        folder = _open_folder(database, settings, is_repair=repair, is_forced=force)
        here = EVERYWHERE if force else folders.rows_here(database, folder)
        audit = Audit(database, folder, names, here=here, part=part, by_digest=full)
        findings = audit.findings()
        if repair:
            if not force:
                findings = _refuse_strangers(database, folder, here, findings)
            findings = audit.mended(findings)
        _show(findings, as_json=as_json)
        if repair:
            names.complete()
        elsewhere = folders.count_elsewhere(
            database, here, sweep=sweep, among=part.condition
        )
        missing = elsewhere.pop(folder.place, 0)
        wake(settings, audit.queued, priority=NORMAL_PRIORITY)
        talk(audit.summary())
        for note in _notes(audit, folder, elsewhere, missing=missing):
            talk(note)
        if names.unknown:
            talk(_say_unknown(names.unknown))
        if audit.queued:
            tell_who_works(database, sweep.name if sweep else None)
    sys.exit(1 if audit.unrepaired or missing else 0)


def _refuse_part(part: Part) -> None:
    if part.condition is not EVERYWHERE:
        msg = (
            "--models looks at the models of one sweep or of all, got a query that "
            "says more; name a sweep alone."
        )
        raise UsageError(msg)


def _say_unknown(models: Iterable[str]) -> str:
    named = ", ".join(models)
    return (
        "The schedulers' names of old images were not checked for models that are not "
        f"here, or have other files now: {named}."
    )


def _open_folder(
    database: Database, settings: Settings, *, is_repair: bool, is_forced: bool
) -> Folder:
    images = settings.images
    if isinstance(images, Path) and not images.is_dir():
        msg = (
            f"The image folder must be there, but {images} is not; mount it, or set "
            "NIGHTSWEEP_IMAGES to the folder that the workers use."
        )
        raise ImageStoreError(msg)
    folder = folders.look_at_folder(database, images)
    if is_forced:
        return replace(folders.take_folder(database, images), since_ns=0)
    if folder.id is None:
        _refuse_replaced(database, folder)
    return folders.take_folder(database, images) if is_repair else folder


def _refuse_replaced(database: Database, folder: Folder) -> None:
    """Refuse an empty mount point, or another folder in place of the images."""
    if missing := folders.count_missing(database, folder):
        raise ImageStoreError(describe_missing(folder, missing))


def _notes(
    audit: Audit, folder: Folder, elsewhere: Mapping[str, int], *, missing: int
) -> Iterator[str]:
    """Yield sentences about images and files that were left out."""
    if missing:
        yield describe_missing(folder, missing)
    if elsewhere:
        places = ", ".join(sorted(elsewhere))
        count = count_images(sum(elsewhere.values()))
        yield f"Not looked at: {count} in other image folders ({places})."
    if audit.foreign:
        yield (
            f"Left alone: {audit.foreign:,} foreign, which may be another database's; "
            "--repair --force moves them away."
        )


def _refuse_strangers(
    database: Database,
    folder: Folder,
    here: Condition,
    findings: Iterator[list[Finding]],
) -> Iterator[list[Finding]]:
    """Refuse to repair if folder and database have nothing to do with each other.

    Otherwise an unmounted disk would cause every image to be made again, and an empty
    database would cause every picture to be moved away.
    """
    first = next(findings, None)
    is_about_files = any(
        finding.path and finding.problem not in ("lost_input", "evicted")
        for finding in first or ()
    )
    if is_about_files and not verification.has_any(database, folder.path, here=here):
        msg = (
            "At least one image must be in its place before anything is repaired, but "
            f"none is in {folder.path}; check NIGHTSWEEP_IMAGES and the database, "
            f"or tell `{program()} verify --repair` to go on with --force."
        )
        raise UsageError(msg)
    return chain([first] if first else [], findings)


def _show(findings: Iterator[list[Finding]], *, as_json: bool) -> None:
    rows = map(_row, chain.from_iterable(findings))
    if as_json:
        write_json(rows)
        return
    write_table(islice(rows, TABLE_ROWS if terminal_width() else None), FINDING_COLUMNS)
    if more := sum(1 for _ in rows):
        talk(f"{more:,} more; a pipe or --json has them all.")


def _row(finding: Finding) -> dict[str, Any]:
    return {
        "problem": finding.problem,
        "key": key_at(finding.path),
        "path": finding.path,
        "detail": finding.detail,
        "repair": finding.repair,
    }
