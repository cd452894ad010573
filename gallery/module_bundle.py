"""Several modules of JavaScript as one, since a page on a disk cannot import any.

The modules keep to a few forms, which `make_bundle` checks: imports on one line by the
names that are exported, exports where something is declared, and names at the top level
that no other module has.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

_IMPORT = re.compile(r'import \{([\w$, ]+)\} from "\./([\w-]+\.js)";')
_NAME = re.compile(
    r"(export )?(?:(?:async )?function\*?|class|const|let|var) ([A-Za-z_$][\w$]*)"
)
_SEVERAL = re.compile(r"(export )?(?:const|let|var) [{\[]([^}\]]*)[}\]]")
_FOREIGN = re.compile(r"\bimport(?:\s*\(|\.meta)|</script|<!--", re.IGNORECASE)
_FORMS = (
    'write `import {a, b} from "./module.js";` on one line, and `export` before '
    "`const`, `function` or `class`"
)


class BundleError(ValueError):
    """A module that cannot be part of one script; the message says what to change."""


def make_bundle(folder: Path, entry: str) -> str:
    """Return a module and all that it imports as one module, in the order of need.

    Args:
        folder: Where the modules are, all in one folder.
        entry: Name of the module's file.

    Raises:
        BundleError: A module is missing or cannot be part of one script.
    """
    modules: dict[str, _Module] = {}
    _add(modules, folder, entry, path=())
    owners: dict[str, str] = {}
    for name, module in modules.items():
        for each in module.names:
            if owners.setdefault(each, name) != name:
                msg = (
                    "names at the top level must differ between modules, got "
                    f"{each!r} in {owners[each]} and {name}; rename one."
                )
                raise BundleError(msg)
    return "\n".join(f"// {name}\n{one.text}" for name, one in modules.items())


class _Module:
    """One module: its text without imports and exports, and its names."""

    def __init__(self, name: str, source: str) -> None:
        self.name = name
        self.imports: list[tuple[str, list[str]]] = []
        self.names: list[str] = []
        self.exports: set[str] = set()
        if found := _FOREIGN.search(source):
            msg = f"{name} must do without {found[0]!r} to be part of one script."
            raise BundleError(msg)
        self.text = "\n".join(self._lines(source)).strip("\n") + "\n"

    def _lines(self, source: str) -> Iterator[str]:
        for number, line in enumerate(source.splitlines(), start=1):
            if line.startswith("import"):
                self._import(line, number)
                continue
            found = self._declared(line)
            if line.startswith("export") and not found:
                self._refuse(line, number)
            self.names += found
            if line.startswith("export "):
                self.exports.update(found)
            yield line.removeprefix("export ")

    def _import(self, line: str, number: int) -> None:
        found = _IMPORT.fullmatch(line.strip())
        if found is None:
            self._refuse(line, number)
            return
        names = [each.strip() for each in found[1].split(",")]
        if any(" " in each for each in names):
            self._refuse(line, number)
        self.imports.append((found[2], [each for each in names if each]))

    def _declared(self, line: str) -> list[str]:
        """Return the names that a line at the top level declares."""
        if found := _NAME.match(line):
            return [found[2]]
        if found := _SEVERAL.match(line):
            parts = (each.partition("=")[0] for each in found[2].split(","))
            names = (each.rpartition(":")[2].strip(" .") for each in parts)
            return [each for each in names if each]
        return []

    def _refuse(self, line: str, number: int) -> None:
        msg = (
            f"a module must import and export in the forms that one script can do "
            f"without, got {line.strip()!r} in {self.name} line {number}; {_FORMS}."
        )
        raise BundleError(msg)


def _add(
    modules: dict[str, _Module], folder: Path, name: str, *, path: tuple[str, ...]
) -> None:
    """Add a module after those that it imports."""
    if name in path:
        circle = " -> ".join((*path[path.index(name) :], name))
        msg = f"modules must not import each other in a circle, got {circle}."
        raise BundleError(msg)
    if name in modules:
        return
    try:
        source = (folder / name).read_text(encoding="utf-8")
    except OSError as exc:
        by = f", which {path[-1]} imports" if path else ""
        msg = f"a module must be a readable file, got {name}{by}: {exc.strerror}."
        raise BundleError(msg) from exc
    module = _Module(name, source)
    for other, wanted in module.imports:
        _add(modules, folder, other, path=(*path, name))
        _check_names(name, other, wanted, modules)
    modules[name] = module


def _check_names(
    name: str, other: str, wanted: list[str], modules: Mapping[str, _Module]
) -> None:
    for each in wanted:
        if each not in modules[other].exports:
            msg = f"{name} must import what {other} exports, got {each!r}."
            raise BundleError(msg)
