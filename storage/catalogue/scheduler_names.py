"""The names of schedulers: short ones, A1111's, other programs', and class names."""

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from storage.catalogue import scheduler_case
from storage.catalogue import tables as catalogue
from storage.catalogue.scheduler_options import CLASSES, names_or
from storage.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheduler:
    """A scheduler as a spec names it.

    Attributes:
        class_name: Class in diffusers, `DDIMScheduler`.
        options: What was requested by name or by value, on top of the model's config.
        extras: Parameters of the job that belong to the name, such as `eta`.
        name: Canonical short name; empty if the class was named.
        pins: What else the name stands for, unless `options` says otherwise; empty if
            the class was named.
    """

    class_name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    extras: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""
    pins: Mapping[str, Any] = field(default_factory=dict)

    @property
    def settings(self) -> dict[str, Any]:
        """All options that are set on top of the model's config."""
        return {**self.pins, **self.options}


@dataclass(frozen=True, slots=True, kw_only=True)
class Name:
    """A name of the catalogue: one line of the list of schedulers.

    Attributes:
        name: The canonical short name, `dpmpp_2m_karras`.
        label: What A1111 calls it, `DPM++ 2M Karras`.
        aliases: Other short names, such as `dpmpp_2m_k`.
        class_name: Class in diffusers.
        options: Options in which the name differs from its class.
        pins: All options that the name stands for, `options` included.
        extras: Call parameters that the name stands for.
        evaluations: Model evaluations for n steps, as a formula: `2n-1`.
        is_deterministic: Whether its steps draw no noise.
        requires: Packages to install beyond what diffusers needs.
        family: `diffusion`, `flow` or `distilled`.
        about: One line on the class.
    """

    name: str
    label: str
    aliases: tuple[str, ...]
    class_name: str
    options: Mapping[str, Any]
    pins: Mapping[str, Any]
    extras: Mapping[str, Any]
    evaluations: str
    is_deterministic: bool
    requires: tuple[str, ...]
    family: str
    about: str

    @property
    def scheduler(self) -> Scheduler:
        """What the name stands for."""
        return Scheduler(
            class_name=self.class_name,
            options=self.options,
            extras=self.extras,
            name=self.name,
            pins=self.pins,
        )


def _aliases(name: str) -> tuple[str, ...]:
    stems = [other for other, meant in catalogue.ALIASES.items() if meant == name]
    if name.endswith("_karras"):
        plain = name.removesuffix("_karras")
        others = [other for other, meant in catalogue.ALIASES.items() if meant == plain]
        stems += [f"{other}_karras" for other in others]
        stems += [f"{other}_k" for other in (plain, *others)]
    return tuple(stems)


def _name(row: catalogue.NameRow) -> Name:
    of = CLASSES[row.class_name]
    values = of.values(row.options, {})
    beta = ("scipy",) if values.get("use_beta_sigmas") else ()
    is_full_pndm = not values.get("skip_prk_steps", True)
    eta = row.extras.get("eta", 0.0)
    return Name(
        name=row.name,
        label=row.label,
        aliases=_aliases(row.name),
        class_name=row.class_name,
        options=row.options,
        pins={**of.pins, **row.options},
        extras=row.extras,
        evaluations="n+9 (n+1 as PLMS)" if is_full_pndm else of.evaluations,
        is_deterministic=not scheduler_case.is_noisy(of, values, eta),
        requires=tuple(dict.fromkeys((*of.requires, *beta))),
        family="flow" if values.get("use_flow_sigmas") else of.family,
        about=of.about,
    )


#: The catalogue by canonical short name, in the order of the table.
NAMES: Mapping[str, Name] = {row.name: _name(row) for row in catalogue.NAME_ROWS}


def _plain(name: str) -> str:
    """Return a name in the form in which names are compared."""
    return re.sub(r"[^a-z0-9]", "", name.casefold().replace("++", "pp"))


#: Schedulers by exact spelling. If a class without its suffix is spelt like a name, as
#: DDIM is, the name is meant; such names pin nothing.
_BY_SPELLING: Mapping[str, Scheduler] = {
    **{
        text: Scheduler(class_name=name)
        for name in CLASSES
        for text in (name, name.removesuffix("Scheduler"))
    },
    **{
        text: entry.scheduler
        for entry in NAMES.values()
        for text in (entry.name, entry.label, *entry.aliases)
    },
}
_BY_PLAIN: Mapping[str, Scheduler] = {
    _plain(text): found for text, found in _BY_SPELLING.items()
}
_REFUSED: Mapping[str, str] = {
    _plain(text): reason
    for name, reason in catalogue.REFUSED.items()
    for text in (name, name.removesuffix("Scheduler"))
}


def resolve(name: str, options: Mapping[str, Any] | None = None) -> Scheduler:
    """Return the scheduler that a name stands for.

    Args:
        name: A short name, an A1111 name or a class name; case, spaces and
            underscores do not matter, but the exact spelling of a class means
            the class: `SASolver` is the class, `sa_solver` the name.
        options: Options on top of those that the name stands for.

    Raises:
        UsageError: The name is unknown, or known but not offered.
    """
    plain = _plain(name)
    if plain in _REFUSED:
        msg = f"scheduler {name!r} is not offered: {_REFUSED[plain]}"
        raise UsageError(msg)
    found = _BY_SPELLING.get(name.strip()) or _BY_PLAIN.get(plain)
    if found is None:
        near = _nearest(name)
        hint = f"did you mean {names_or(near)}? " if near else ""
        msg = (
            f"scheduler must be a name of the catalogue, got {name!r}; "
            f"{f'{way_out}; ' if (way_out := translate(name)) else hint}"
            "`nightsweep schedulers` lists all"
        )
        raise UsageError(msg)
    return replace(found, options={**found.options, **(options or {})})


def translate(name: str) -> str | None:
    """Return how to write a name that has another program's word for a schedule.

    Returns:
        What to write, or None if the name has no such word.
    """
    plain = _plain(name)
    for word, options in catalogue.SCHEDULES.items():
        head = plain.removesuffix(word)
        found = _BY_PLAIN.get(head or "dpmpp2m")
        if found is None or head == plain:
            continue
        if not head:
            return _say_of_word(word, options)
        name = found.name or found.class_name
        if not options:
            return f"its plain schedule has no word of its own: write {name}"
        if options.keys() <= CLASSES[found.class_name].options.keys():
            return f"write {_with_options(name, options)}"
    return None


def _say_of_word(word: str, options: Mapping[str, str]) -> str:
    """Return how to write a word for a schedule that stands alone."""
    if word in ("default", "automatic"):
        return "leave it out for the model's own"
    if not options:
        return "a plain schedule has no word: use a name alone, such as dpmpp_2m"
    both = _BY_PLAIN.get(f"dpmpp2m{word}")
    example = both.name if both else _with_options("dpmpp_2m", options)
    return f"a schedule is part of a scheduler's name: write one such as {example}"


def _with_options(name: str, options: Mapping[str, str]) -> str:
    given = ", ".join(f"{key}: {value}" for key, value in options.items())
    return f"{{class: {name}, options: {{{given}}}}}"


def _nearest(name: str) -> list[str]:
    plain = _plain(name)
    by_plain = {_plain(text): text for text in (*CLASSES, *NAMES)}
    labels = {_plain(entry.label): entry.name for entry in NAMES.values()}
    known = by_plain | labels
    near = difflib.get_close_matches(plain, known, n=3, cutoff=0.6)
    return list(dict.fromkeys(known[each] for each in near))
