"""The command `nightsweep verify`: rows and image files, compared both ways."""

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from itertools import chain, islice
from pathlib import Path
from typing import Any

import click

from producer.amounts import images as count_images
from producer.options import program
from producer.tables import Column, json_option, wants_json, write_json, write_table
from producer.verify_models import verify_models
from storage import repairs, strays, sweeps, verification
from storage.database import Database, open_database, open_for_reading
from storage.embedded import broker_url, is_running
from storage.errors import ImageStoreError, QueueError, UsageError
from storage.fingerprint import Digests
from storage.mislabels import NameCheck
from storage.queue import make_app, send, waiting
from storage.settings import Settings, read_settings
from storage.strays import key_at
from storage.sweeps import NORMAL_PRIORITY, Sweep
from storage.verification import Checked, Finding

#: Rows that a table shows.
TABLE_ROWS = 200
#: Jobs named in the messages that wake the workers; they find the others by themselves.
WAKE_UP = 512

COLUMNS = (
    Column(name="problem", read=lambda row: row["problem"].replace("_", " ")),
    Column(name="path", read=lambda row: row["path"]),
    Column(name="detail", read=lambda row: row["detail"], narrowest=12),
    Column(name="repair", read=lambda row: row["repair"] or "-", narrowest=12),
)


@click.command(epilog="Example: nightsweep verify --sweep first-sweep --full")
@click.option(
    "--sweep",
    "name",
    metavar="NAME",
    help="Check the images of this sweep, and look for no strays.  [default: all]",
)
@click.option(
    "--full", is_flag=True, help="Decode every file and compare its pixels, not sizes."
)
@click.option(
    "--models",
    "only_models",
    is_flag=True,
    help="Hash the files of the models that jobs name instead, and compare them with "
    "what was planned.",
)
@click.option(
    "--repair",
    is_flag=True,
    help="Queue missing and damaged images again, move strays to the folder "
    f"{repairs.ORPHANS} of the image folder, remove what killed workers left, and give "
    "schedulers their true names.",
)
@click.option(
    "--force",
    is_flag=True,
    help="With --repair: go on where not one image is in its place.",
)
@json_option
def verify(
    name: str | None,
    *,
    full: bool,
    only_models: bool,
    repair: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Compare image files with what SQL says of them.

    Finds images that are missing, truncated or, with --full, altered; files that
    belong to no finished job; temporary files of killed workers; and old rows whose
    scheduler is called something that it is not. Safe while workers run, to break off
    and to repeat. The exit code is 1 where something is wrong and was not repaired.

    With --models, every file of every model that jobs name is hashed, at each of its
    places on this machine, whatever is remembered of it.
    """
    if only_models and (full or repair or force):
        msg = (
            "--models looks at models alone and repairs nothing, got it with --full, "
            "--repair or --force; run it by itself."
        )
        raise UsageError(msg)
    settings = read_settings()
    database = _open(settings, is_repair=repair)
    if database is None:
        click.echo("There is no database yet, so there is nothing to check.", err=True)
        return
    with closing(database):
        sweep = _find(database, name) if name else None
        if only_models:
            is_fine = verify_models(database, settings, sweep=sweep, as_json=as_json)
            sys.exit(0 if is_fine else 1)
        names = NameCheck(
            database, digests=Digests(settings.home / "digests.json"), sweep=sweep
        )
        audit = _Audit(database, settings.images, names, sweep=sweep, by_digest=full)
        findings = audit.findings()
        if repair:
            if not force:
                findings = _refuse_strangers(database, settings, findings)
            findings = audit.mended(findings)
        _show(findings, as_json=as_json)
        if repair:
            names.complete()
    _wake(settings, audit.queued)
    click.echo(audit.summary(), err=True)
    if names.unknown:
        click.echo(_say_unknown(names.unknown), err=True)
    sys.exit(1 if audit.unrepaired else 0)


class _Audit:
    """One run: what it looks at, and what it found so far."""

    def __init__(
        self,
        database: Database,
        images: Path,
        names: NameCheck,
        *,
        sweep: Sweep | None,
        by_digest: bool,
    ) -> None:
        self._database = database
        self._images = images
        self._names = names
        self._sweep = sweep
        self._by_digest = by_digest
        self._checked = 0
        self._problems: Counter[str] = Counter()
        self._is_repair = False
        self._repaired = 0
        #: Keys that are queued again, by batch group; as many as wake all workers.
        self.queued: dict[str, list[str]] = {}

    @property
    def unrepaired(self) -> int:
        """Findings about which nothing was done."""
        return self._problems.total() - self._repaired

    def findings(self) -> Iterator[list[Finding]]:
        """Give what is wrong, some at a time, as it is found."""
        if not self._images.is_dir():
            msg = (
                f"The image folder must be there, but {self._images} is not; mount "
                "it, or set NIGHTSWEEP_IMAGES to the folder that the workers use."
            )
            raise ImageStoreError(msg)
        for checked in self._looks():
            self._checked += checked.images
            self._problems.update(each.problem for each in checked.findings)
            if checked.findings:
                yield list(checked.findings)

    def mended(self, findings: Iterable[list[Finding]]) -> Iterator[list[Finding]]:
        """Repair what is found, and give it with what was done."""
        self._is_repair = True
        for some in findings:
            mended = [*repairs.mend(self._database, self._images, some)]
            self._repaired += sum(each.repair is not None for each in mended)
            for each in mended:
                self._note(each)
            yield mended

    def summary(self) -> str:
        """Say in a sentence what was found."""
        checked = f"{count_images(self._checked)} checked"
        if not self._problems:
            return f"{checked}, nothing is wrong."
        told = [
            f"{count:,} {problem.replace('_', ' ')}"
            for problem, count in self._problems.items()
        ]
        return f"{checked}: {', '.join(told)}; {self._outcome()}."

    def _outcome(self) -> str:
        if not self._is_repair:
            return "--repair mends that"
        done = f"{self._repaired:,} repaired"
        left = f"{self.unrepaired:,} changed meanwhile: run it again"
        return f"{done}, {left}" if self.unrepaired else done

    def _looks(self) -> Iterator[Checked]:
        looks = verification.check_images(
            self._database,
            self._images,
            sweep=self._sweep,
            by_digest=self._by_digest,
        )
        yield from self._with_progress(looks)
        if self._sweep is None:
            yield from strays.check_files(self._database, self._images)
        yield from self._names.look()

    def _with_progress(self, looks: Iterator[Checked]) -> Iterator[Checked]:
        if not sys.stderr.isatty():
            yield from looks
            return
        total = verification.count_made(self._database, self._sweep)
        with click.progressbar(length=total, label="Checking", file=sys.stderr) as bar:
            for checked in looks:
                bar.update(checked.images)
                yield checked

    def _note(self, finding: Finding) -> None:
        is_known = sum(map(len, self.queued.values())) >= WAKE_UP
        if finding.made and finding.repair == repairs.QUEUED and not is_known:
            made = finding.made
            self.queued.setdefault(made.group, []).append(made.key)


def _say_unknown(models: Iterable[str]) -> str:
    named = ", ".join(models)
    return (
        "The schedulers' names of old images were not checked for models that are not "
        f"here, or have other files now: {named}."
    )


def _open(settings: Settings, *, is_repair: bool) -> Database | None:
    there = open_for_reading(settings.database_url)
    if there is None or not is_repair:
        return there
    there.close()
    return open_database(settings.database_url)


def _find(database: Database, name: str) -> Sweep:
    sweep = sweeps.find_sweep(database, name)
    if sweep is None:
        names = ", ".join(each.name for each in sweeps.list_sweeps(database))
        known = names or "none yet"
        msg = f"sweep must be one that was submitted ({known}), got {name!r}."
        raise UsageError(msg)
    return sweep


def _refuse_strangers(
    database: Database, settings: Settings, findings: Iterator[list[Finding]]
) -> Iterator[list[Finding]]:
    """Refuse to repair where folder and database have nothing to do with each other.

    Else a disk that is not mounted would have every image made again, and an empty
    database every picture moved away.
    """
    first = next(findings, None)
    is_about_files = any(finding.path for finding in first or ())
    if is_about_files and not verification.has_any(database, settings.images):
        msg = (
            "At least one image must be in its place before anything is repaired, but "
            f"none is in {settings.images}; check NIGHTSWEEP_IMAGES and the database, "
            f"or tell `{program()} verify --repair` to go on with --force."
        )
        raise UsageError(msg)
    return chain([first] if first else [], findings)


def _show(findings: Iterator[list[Finding]], *, as_json: bool) -> None:
    rows = map(_row, chain.from_iterable(findings))
    if wants_json(asked=as_json):
        write_json(rows)
        return
    shown = list(islice(rows, TABLE_ROWS))
    more = sum(1 for _ in rows)
    if shown:
        write_table(shown, COLUMNS)
    if more:
        click.echo(f"{more:,} more; --json lists them all.", err=True)


def _row(finding: Finding) -> dict[str, Any]:
    return {
        "problem": finding.problem,
        "key": key_at(finding.path),
        "path": finding.path,
        "detail": finding.detail,
        "repair": finding.repair,
    }


def _wake(settings: Settings, groups: Mapping[str, list[str]]) -> None:
    # The embedded Redis of a machine at rest stays down: the next workers look in SQL.
    if not groups or not (settings.redis_url or is_running(settings)):
        return
    app = make_app(broker_url(settings), lease_s=settings.lease_s)
    try:
        with closing(app):
            waiting(app)  # says at once where Redis is away
            send(app, groups, priority=NORMAL_PRIORITY)
    except QueueError as exc:
        click.echo(f"The workers will find the jobs by themselves: {exc}", err=True)
