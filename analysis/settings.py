"""Settings: what is compared, such as a scheduler with a number of steps."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from storage.catalogue.pipeline_calls import PREFIX, all_parameters, value_of
from storage.errors import UsageError

#: Columns that decide a picture besides the prompt. Those that are not compared must be
#: equal in a pair of images.
PARAMETERS = (
    *("model_fingerprint", "negative_prompt", "seed", "scheduler", "steps"),
    *("guidance", "width", "height", "dtype", "backend", "generator", "extras"),
)
#: What may be compared, and how people read a value.
WORDS: Mapping[str, str] = {
    "scheduler": "{}",
    "steps": "{} steps",
    "guidance": "guidance {:g}",
    "model": "{}",
    "negative_prompt": "negative prompt {!r}",
    "width": "{} px wide",
    "height": "{} px high",
    "dtype": "{}",
    "generator": "noise from {}",
    "backend": "{}",
    "extras": "{}",
}
#: Columns of `WORDS` that another parameter decides.
_DECIDED_BY = {"model": "model_fingerprint"}


class Circumstances(NamedTuple):
    """What is equal within a pair of images of one prompt."""

    others: tuple[Any, ...]
    seed: int

    def __str__(self) -> str:
        """Return the seed, and what else is equal."""
        rest = ", ".join(str(each) for each in self.others if each != "")
        return f"{self.seed} ({rest})" if rest else str(self.seed)


@dataclass(frozen=True, slots=True, order=True)
class Setting:
    """One value of each column that is compared.

    Attributes:
        values: Column and value, in the order asked for.
    """

    values: tuple[tuple[str, Any], ...]

    def __str__(self) -> str:
        """Return what people call it: "ddim at 20 steps"."""
        words = {name: _in_words(name, value) for name, value in self.values}
        steps = words.pop("steps", "")
        return " at ".join(filter(None, (", ".join(words.values()), steps)))

    @property
    def without_steps(self) -> "Setting":
        """The same whatever its steps."""
        return Setting(tuple(each for each in self.values if each[0] != "steps"))

    @property
    def series(self) -> str:
        """What people call it without its steps; "all" if it has nothing else."""
        return str(self.without_steps) or "all"

    @property
    def steps(self) -> int | None:
        """Its steps, if steps are compared."""
        found: int | None = dict(self.values).get("steps")
        return found


def read_columns(text: str) -> tuple[str, ...]:
    """Read the columns to compare by, as `--by` takes them.

    Raises:
        UsageError: A column is unknown, is named twice, or is not for comparing.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name in ("prompt", "seed"):
            msg = (
                f"--by must name settings, got {name}: prompts and seeds are what "
                "differences are averaged over; name others, such as scheduler,steps."
            )
            raise UsageError(msg)
        if name not in WORDS and name not in all_parameters():
            known = [*WORDS, *(all_parameters() if name.startswith(PREFIX) else ())]
            msg = f"--by must name columns of {', '.join(known)}, got {name!r}."
            raise UsageError(msg)
    if not names or len(set(names)) < len(names):
        msg = f"--by must name one column or several, each once, got {text!r}."
        raise UsageError(msg)
    return tuple(names)


def setting_of(row: Mapping[str, Any], by: Sequence[str]) -> Setting:
    """Return the setting of an image.

    Args:
        row: Of the view `images` or `sweep_images`.
        by: The columns that are compared.
    """
    return Setting(tuple((name, _value(row, name)) for name in by))


def circumstances_of(row: Mapping[str, Any], by: Sequence[str]) -> Circumstances:
    """Return what must be equal for two images of a prompt to be a pair."""
    compared = {"seed", *(_DECIDED_BY.get(name, name) for name in by)}
    others = {name: row[name] for name in PARAMETERS if name not in compared}
    if "extras" in others:
        own = ["eta"] if "scheduler" in compared else []
        own += [name for name in by if name.startswith(PREFIX)]
        others["extras"] = without(others["extras"], *own)
    return Circumstances(others=tuple(others.values()), seed=row["seed"])


def _value(row: Mapping[str, Any], name: str) -> Any:
    if name == "scheduler":
        return row.get("scheduler_label") or row["scheduler"]
    if name.startswith(PREFIX):
        return _value_of_call(row["extras"], name, row["pipeline"])
    return row[name]


@lru_cache(maxsize=1000)
def _value_of_call(extras: str, name: str, pipeline: str | None) -> Any:
    return value_of(json.loads(extras), name, pipeline=pipeline)


def _in_words(name: str, value: Any) -> str:
    if not name.startswith(PREFIX):
        return WORDS[name].format(value)
    form = "{} {:g}" if isinstance(value, float) else "{} {}"
    return form.format(name.removeprefix(PREFIX), value)


@lru_cache(maxsize=1000)
def without(extras: str, *names: str) -> str:
    """Return extras without some: names of schedulers include eta."""
    kept = {name: one for name, one in json.loads(extras).items() if name not in names}
    return json.dumps(kept, sort_keys=True)
