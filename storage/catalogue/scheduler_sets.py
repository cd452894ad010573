"""Words that stand for several schedulers: `all`, `every`, and globs of names."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any

from storage.catalogue import tables as catalogue
from storage.catalogue.scheduler_copies import why_same
from storage.catalogue.scheduler_options import kind_of_model, names_or
from storage.catalogue.schedulers import (
    NAMES,
    Name,
    Scheduler,
    check,
    effective_options,
)
from storage.errors import UsageError
from storage.job import canonical_json

#: How many names a sentence lists; if there are more, it lists the first two.
_LISTED = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """What a word stands for on one model.

    Attributes:
        schedulers: In the order of the catalogue.
        note: How many there are, and what it leaves out and why, in one sentence.
            Empty for a pattern that leaves out nothing.
    """

    schedulers: tuple[Scheduler, ...]
    note: str


def is_set(text: str) -> bool:
    """Return whether a text stands for several schedulers rather than naming one."""
    return text in ("all", "every") or is_glob(text)


def is_glob(text: str) -> bool:
    """Return whether a text is a pattern of names, such as `dpmpp_*`."""
    return any(sign in text for sign in "*?")


def require_match(pattern: str) -> None:
    """Refuse a pattern that matches no name of the catalogue.

    Raises:
        UsageError: It matches none; the message has the nearest names.
    """
    if matching(pattern):
        return
    stem = pattern.strip("*?").casefold()
    near = get_close_matches(stem, NAMES, n=3, cutoff=0.4)
    hint = f"did you mean {names_or(near)}? " if near else ""
    msg = (
        f"a pattern of schedulers must match a name of the catalogue, got {pattern!r};"
        f" {hint}`nightsweep schedulers` lists all"
    )
    raise UsageError(msg)


def choose(
    text: str, *, family: str, config: Mapping[str, Any], pipeline: str = ""
) -> Chosen:
    """Return the schedulers that a word stands for on a model.

    Args:
        text: `all`: each class that makes sense, once, as the model configures it.
            `every`: all names that the model can run and that differ on it. A glob:
            the names that match and that the model can run; if there are none, all
            that match, so that their own problems are reported.
        family: Family of the model: `sd`, `sdxl`, `sd3`, `flux`, `lcm` or `other`.
        config: The model's original scheduler config.
        pipeline: Class of its pipeline; empty where it is not known.

    Returns:
        What the word stands for; if the model can run none of it, some of it anyway.
    """
    model = _Model(family, config, pipeline)
    if text == "all":
        return model.choose_all()
    if text == "every":
        return model.choose_every()
    return model.choose_matching(text)


def matching(pattern: str) -> list[Name]:
    """Return the names whose short name or A1111 label matches; case is ignored."""
    wanted = pattern.casefold()
    return [
        entry
        for entry in NAMES.values()
        if any(
            fnmatchcase(each.casefold(), wanted) for each in (entry.name, entry.label)
        )
    ]


class _Model:
    """Chooses from the catalogue for one model."""

    def __init__(self, family: str, config: Mapping[str, Any], pipeline: str) -> None:
        self._family = family
        self._config = config
        self._pipeline = pipeline
        self._kind = kind_of_model(family, config, pipeline=pipeline)

    def choose_all(self) -> Chosen:
        names = catalogue.ALL[self._kind]
        found = [each for name in names for each in self._of_class(NAMES[name])]
        runnable = self._runnable(NAMES.values())
        taken = {self._token(each) for each in found}
        left = [each for each in runnable if self._token(each.scheduler) not in taken]
        note = (
            f"`all` is {len(found)} schedulers, each class once as the model"
            " configures it"
        )
        if left:
            said = _joined([*_say_left({each.class_name for each in found}, left)])
            note += (
                f"; of the {len(runnable)} names that this model can run it leaves out"
                f" {said}; `every` takes those too"
            )
        return Chosen(schedulers=tuple(found) or self._unfit(), note=note)

    def choose_every(self) -> Chosen:
        runnable = self._runnable(NAMES.values())
        first: dict[str, Name] = {}
        copies = []
        for entry in runnable:
            kept = first.setdefault(self._token(entry.scheduler), entry)
            if kept is not entry:
                copies.append(self._copy(entry, kept))
        unfit = [entry for entry in NAMES.values() if entry not in runnable]
        note = f"`every` is {len(first)} of {len(NAMES)} names"
        if copies or unfit:
            note += f"; it leaves out {_joined([*copies, *_say_unfit(unfit)])}"
        found = tuple(entry.scheduler for entry in first.values())
        return Chosen(schedulers=found or self._unfit(), note=note)

    def choose_matching(self, pattern: str) -> Chosen:
        matched = matching(pattern)
        runnable = self._runnable(matched)
        unfit = [entry for entry in matched if entry not in runnable]
        note = ""
        if runnable and unfit:
            said = _joined([*_say_unfit(unfit)])
            count = f"{len(runnable)} of {len(matched)} names"
            note = f"`{pattern}` is {count}; it leaves out {said}"
        found = (entry.scheduler for entry in runnable or matched)
        return Chosen(schedulers=tuple(found), note=note)

    def _of_class(self, entry: Name) -> list[Scheduler]:
        """Return a class as the model configures it, or its name if that cannot run.

        Some classes do nothing without their name's options, such as UniPC for flow
        matching. PNDM is PLMS unless the model asks for its Runge-Kutta start.
        """
        by_class = Scheduler(class_name=entry.class_name)
        ways = [entry.scheduler] if entry.options else [by_class, entry.scheduler]
        if entry.name == "pndm" and not self._config.get("skip_prk_steps"):
            ways = [NAMES["plms"].scheduler]
        return [each for each in ways if self._can_run(each)][:1]

    def _unfit(self) -> tuple[Scheduler, ...]:
        """Return one that the model cannot run, so that its problem is reported."""
        names = catalogue.ALL[self._kind]
        return (NAMES[names[0]].scheduler,)

    def _runnable(self, entries: Iterable[Name]) -> list[Name]:
        return [entry for entry in entries if self._can_run(entry.scheduler)]

    def _can_run(self, scheduler: Scheduler) -> bool:
        return not check(
            scheduler,
            config=self._config,
            family=self._family,
            pipeline=self._pipeline,
        )

    def _copy(self, entry: Name, kept: Name) -> str:
        why = why_same(entry.scheduler, kept.scheduler, config=self._config)
        return f"{entry.name} (here the same as {kept.name}, {why})"

    def _token(self, scheduler: Scheduler) -> str:
        options = effective_options(scheduler, self._config)
        return canonical_json([scheduler.class_name, options, dict(scheduler.extras)])


def _say_left(classes: Collection[str], left: Sequence[Name]) -> Iterator[str]:
    variants = [each for each in left if each.class_name in classes]
    others = [each for each in left if each.class_name not in classes]
    if variants:
        yield _counted(variants, "of the same classes")
    if others:
        yield _counted(others, "for other kinds of models")


def _say_unfit(unfit: Sequence[Name]) -> Iterator[str]:
    if unfit:
        yield _counted(unfit, "that this model cannot run")


def _counted(entries: Sequence[Name], kind: str) -> str:
    names = [entry.name for entry in entries]
    listed = names if len(names) <= _LISTED else [*names[:2], "..."]
    noun = "name" if len(names) == 1 else "names"
    return f"{len(names)} {noun} {kind} ({', '.join(listed)})"


def _joined(words: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))
