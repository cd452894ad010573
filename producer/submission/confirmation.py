"""The question before a submission changes a stored sweep.

A sweep may lose unmade images when its file, or an option, names less than what is
stored. The command asks first; if nobody can answer, it stores nothing.
"""

import sys
from dataclasses import dataclass

import click

from producer.display.amounts import images
from producer.display.counting import counted
from producer.display.messages import talk
from producer.expansion.expand import Expansion
from producer.options import program
from storage.errors import ChangedSweepError, UsageError
from storage.jobs import sweeps
from storage.jobs.companions import refuse_companion
from storage.jobs.differences import Comparison, Difference
from storage.jobs.sweeps import Sweep
from storage.sql.database import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class Consent:
    """What the user has agreed to in advance.

    Attributes:
        is_given: Whether the user agreed to any change, so that nothing is asked.
        is_overridden: Whether options change the spec.
        read: The stored sweep that the spec was read from; None for a file.
    """

    is_given: bool = False
    is_overridden: bool = False
    read: Sweep | None = None

    def settle(self, database: Database, expansion: Expansion) -> int | None:
        """Ask if that is needed; return the revision that the new one may follow.

        Returns:
            0 if the sweep is new; None if the new revision may follow any.

        Raises:
            UsageError: Consent is needed, and nobody can be asked; or the name is that
                of the references of another sweep.
            ChangedSweepError: The stored sweep is no longer the one that was read.
            click.exceptions.Exit: The answer was no.
        """
        stored = sweeps.find_sweep(database, expansion.spec.name)
        refuse_companion(expansion.spec.name, stored)
        if self.read and (not stored or stored.revision != self.read.revision):
            raise ChangedSweepError(expansion.spec.name)
        if stored is None:
            return 0
        if self.is_given and not self.read:
            return None
        if not self.is_given and stored.digest != expansion.digest:
            self._ask_of(database, stored, expansion)
        return stored.revision

    def _ask_of(self, database: Database, stored: Sweep, expansion: Expansion) -> None:
        comparison = Comparison(database, stored)
        if not self.is_overridden and not comparison.has_unmade:
            return  # nothing can be lost
        batches = counted(
            expansion.batches(),
            "Comparing with what is stored",
            total=expansion.count,
            size=len,
        )
        found = comparison.compare(batches)
        is_other = bool(found.come or found.lost or found.kept)
        if found.lost or (self.is_overridden and is_other):
            _ask(found, is_overridden=self.is_overridden)


def describe_difference(found: Difference) -> str:
    """Say what a submission would change: `24 come, 24 stay, 2 leave (2 unmade)`."""
    leave = found.lost + found.kept
    kinds = [f"{found.lost:,} unmade"] if found.lost else []
    kinds += [f"{found.kept:,} made, kept"] if found.kept else []
    detail = f" ({', '.join(kinds)})" if kinds else ""
    return f"{found.come:,} come, {found.stay:,} stay, {leave:,} leave{detail}"


def _ask(found: Difference, *, is_overridden: bool) -> None:
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(_refusal(found, is_overridden=is_overridden))
    talk(
        f"{found.sweep} is stored with {images(found.stored)} (revision "
        f"{found.revision}): {describe_difference(found)}."
    )
    try:
        is_agreed = click.confirm("Change it?", default=False, err=True)
    except click.Abort:
        raise KeyboardInterrupt from None
    if not is_agreed:
        talk(f"Nothing is changed; {_way_out(found.sweep)}.")
        raise click.exceptions.Exit(1)


def _refusal(found: Difference, *, is_overridden: bool) -> str:
    name = found.sweep
    if is_overridden:
        rule = f"Options must not change the stored sweep {name} unasked"
    else:
        rule = f"The stored sweep {name} must not lose unmade images unasked"
    return (
        f"{rule}, but {describe_difference(found)}; add --yes to change it, or "
        f"{_way_out(name)}."
    )


def _way_out(name: str) -> str:
    return (
        "name another sweep with --name, or go on with what is stored by "
        f"`{program()} run {name}`"
    )
