"""One run of `nightsweep verify`: what it looks at, and what it found so far."""

import sys
from collections import Counter
from collections.abc import Iterable, Iterator

import click
import sqlalchemy as sa

from producer.display.amounts import images as count_images
from producer.health.parts import Part
from storage.files import orphans, repairs, verification
from storage.files.folders import Folder
from storage.files.input_verification import check_inputs
from storage.files.mislabels import NameCheck
from storage.files.verification import Checked, Condition, Finding
from storage.jobs.wake_ups import WAKE_UP
from storage.sql.database import Database


class Audit:
    """One run.

    Attributes:
        queued: Keys queued again, by batch group; only as many as wake all workers.
    """

    def __init__(
        self,
        database: Database,
        folder: Folder,
        names: NameCheck,
        *,
        here: Condition,
        part: Part,
        by_digest: bool,
    ) -> None:
        """Look at nothing yet.

        Args:
            database: Where the rows are.
            folder: The image folder.
            names: The check for wrong names of schedulers.
            here: The rows of `results` whose files belong in the folder.
            part: The images to look at; orphans are looked for only with all of
                them, and wrong names only with all or those of a sweep.
            by_digest: Whether to decode each file and compare its pixels too.
        """
        self._database = database
        self._folder = folder
        self._images = folder.path
        self._names = names
        self._here = sa.and_(here, part.condition)
        self._sweep = part.sweep
        self._is_partial = part.is_partial
        self._by_digest = by_digest
        self._checked = 0
        self._problems: Counter[str] = Counter()
        self._is_repair = False
        self._repaired = 0
        self.queued: dict[str, list[str]] = {}

    @property
    def foreign(self) -> int:
        """Files that may be another database's, and are left alone."""
        return self._problems["foreign"]

    @property
    def unrepaired(self) -> int:
        """Findings that were not repaired, foreign files aside."""
        return self._problems.total() - self.foreign - self._repaired

    def findings(self) -> Iterator[list[Finding]]:
        """Yield what is wrong, some at a time, as it is found."""
        for checked in self._looks():
            self._checked += checked.images
            self._problems.update(each.problem for each in checked.findings)
            if checked.findings:
                yield list(checked.findings)

    def mended(self, findings: Iterable[list[Finding]]) -> Iterator[list[Finding]]:
        """Repair what is found, and yield it with what was done."""
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
        told = [
            f"{count:,} {problem.replace('_', ' ')}"
            for problem, count in self._problems.items()
            if problem != "foreign"
        ]
        if not told:
            return f"{checked}, nothing is wrong."
        return f"{checked}: {', '.join(told)}; {self._outcome()}."

    def _outcome(self) -> str:
        lost = self._problems["lost_input"]
        changed = self.unrepaired - lost
        if not self._is_repair:
            told = ["--repair mends that"] if changed else []
        else:
            told = [f"{self._repaired:,} repaired"]
        if self._is_repair and changed:
            told.append(f"{changed:,} changed meanwhile: run it again")
        if lost:
            told.append("a submission brings lost inputs back")
        return ", ".join(told)

    def _looks(self) -> Iterator[Checked]:
        looks = verification.check_images(
            self._database,
            self._images,
            sweep=self._sweep,
            here=self._here,
            by_digest=self._by_digest,
        )
        yield from self._with_progress(looks)
        if not self._is_partial:
            yield from orphans.check_files(
                self._database, self._images, since_ns=self._folder.since_ns
            )
            yield from check_inputs(self._database, self._images)
        if self._sweep or not self._is_partial:
            yield from self._names.look()

    def _with_progress(self, looks: Iterator[Checked]) -> Iterator[Checked]:
        if not sys.stderr.isatty():
            yield from looks
            return
        total = verification.count_made(self._database, self._sweep, here=self._here)
        with click.progressbar(length=total, label="Checking", file=sys.stderr) as bar:
            for checked in looks:
                bar.update(checked.images)
                yield checked

    def _note(self, finding: Finding) -> None:
        is_known = sum(map(len, self.queued.values())) >= WAKE_UP
        if finding.made and finding.repair == repairs.QUEUED and not is_known:
            made = finding.made
            self.queued.setdefault(made.group, []).append(made.key)
