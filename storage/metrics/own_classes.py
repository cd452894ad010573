"""A user's own metric: a class in a package, in a file, or behind an entry point."""

import importlib
import importlib.util
import re
import sys
from collections.abc import Mapping
from hashlib import sha256
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from storage.errors import MetricError, in_words
from storage.metrics.kinds import KINDS

#: The group of the entry points by which packages offer metrics.
GROUP = "nightsweep.metrics"
#: What the class of a metric must have, and of which type.
ATTRIBUTES: Mapping[str, type] = {
    "name": str,
    "version": str,
    "higher_is_better": bool,
    "needs_reference": bool,
}
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")


def resolve_source(source: str, base_dir: Path) -> str:
    """Make the path in `./file.py:Class` absolute; return anything else unchanged."""
    place, _, class_name = source.rpartition(":")
    if not place.endswith(".py"):
        return source
    return f"{(base_dir / Path(place).expanduser()).resolve()}:{class_name}"


def find_class(source: str) -> Any:
    """Return the class of a user's own metric; this runs the module that holds it.

    Args:
        source: `package.module:Class`, `/folder/file.py:Class`, or the name of an
            entry point in the group `nightsweep.metrics`.

    Raises:
        MetricError: There is no such class, or it lacks an attribute of a metric.
    """
    place, mark, class_name = source.rpartition(":")
    if not mark:
        found = _from_entry_point(source)
    else:
        load = _load_file if place.endswith(".py") else importlib.import_module
        found = _attribute(_imported(source, place, load), class_name, source)
    _check_class(found, source)
    return found


def _from_entry_point(name: str) -> Any:
    offered = entry_points(group=GROUP)
    chosen = {point.value: point for point in offered.select(name=name)}
    if len(chosen) == 1:
        point: EntryPoint = next(iter(chosen.values()))
        module = _imported(name, point.module, importlib.import_module)
        return _attribute(module, point.attr, name)
    if chosen:
        msg = (
            f"one package must offer the metric {name}, but {len(chosen)} do:"
            f" {', '.join(sorted(chosen))}; name one of these instead"
        )
        raise MetricError(msg)
    known = ", ".join([*KINDS, *sorted(offered.names)])
    msg = (
        f"a metric is one of {known}, a class as package.module:Class, or one in a file"
        f" as ./file.py:Class, got {name!r}; name one of these"
    )
    raise MetricError(msg)


def _imported(source: str, place: str, load: Any) -> ModuleType:
    try:
        module: ModuleType = load(place)
    except ImportError as error:
        package = (error.name or place).partition(".")[0]
        msg = (
            f"the metric {source} needs the package {package}, which cannot be imported"
            f" here ({error}); {_way_out(source, place)}"
        )
        raise MetricError(msg) from error
    except OSError as error:
        msg = (
            f"the metric {source} needs the file {place}, which cannot be read here"
            f" ({error.strerror}); correct the path"
        )
        raise MetricError(msg) from error
    except Exception as error:
        msg = (
            f"the module of the metric {source} must be importable, but fails with"
            f" {in_words(error)}; mend it"
        )
        raise MetricError(msg) from error
    return module


def _way_out(source: str, place: str) -> str:
    file = Path(*place.split(".")).with_suffix(".py")
    if file.is_file():
        return f"for the file, write ./{file}:{source.rpartition(':')[2]}"
    return "install it wherever workers run, or correct the name"


def _load_file(place: str) -> ModuleType:
    file = Path(place)
    code = file.read_bytes()
    name = f"{file.stem}_{sha256(place.encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ImportError(name=file.stem)
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up here.
    sys.modules[name] = module
    exec(compile(code, place, "exec"), module.__dict__)  # noqa: S102 - as an import does
    return module


def _attribute(module: ModuleType, path: str, source: str) -> Any:
    found: Any = module
    for part in path.split("."):
        found = getattr(found, part, None)
    if not isinstance(found, type):
        classes = [
            name
            for name, each in vars(module).items()
            if isinstance(each, type) and each.__module__ == module.__name__
        ]
        msg = (
            f"the metric {source} must name a class, but its module has no class"
            f" {path}; it has {', '.join(classes) or 'none'}"
        )
        raise MetricError(msg)
    return found


def _check_class(found: Any, source: str) -> None:
    for name, kind in ATTRIBUTES.items():
        value = getattr(found, name, None)
        if type(value) is not kind:
            msg = (
                f"the class of a metric must have `{name}`, a {kind.__name__}, but that"
                f" of {source} has {value!r}; add it to the class"
            )
            raise MetricError(msg)
    if not callable(getattr(found, "score", None)):
        msg = (
            "the class of a metric must have a method `score(samples)`, but that of"
            f" {source} has none; add it to the class"
        )
        raise MetricError(msg)
    if not _NAME.fullmatch(found.name):
        msg = (
            "`name` of a metric must be a word of small letters, digits and _, but that"
            f" of {source} is {found.name!r}; change it"
        )
        raise MetricError(msg)
    if found.name in KINDS:
        msg = (
            f"the name {found.name} belongs to a built-in metric, but {source} has it"
            " too; change `name` in its class"
        )
        raise MetricError(msg)
