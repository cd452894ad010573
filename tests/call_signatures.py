"""The inputs of pipelines, read from the source of the installed diffusers.

`python -m tests.call_signatures` writes `storage/catalogue/pipeline_calls.json`.
Nothing is imported from diffusers, since some classes need packages that are not here.
"""

import ast
import importlib.util
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from storage.catalogue.known_classes import UNTRIED_PIPELINES
from storage.catalogue.pipeline_calls import FILE, OWN, why_refused
from storage.catalogue.pipeline_families import FAMILIES

#: Annotations, without `None`, and what values they mean.
KINDS = {
    "bool": "flag",
    "int": "integer",
    "float": "number",
    "str": "text",
    "str | list[str]": "text",
    "list[int]": "integers",
    "tuple[int]": "integers",
    "tuple[int, int]": "integers",
}
_NONE = re.compile(r"\| None\b|\bNone \|")
_MOST = re.compile(r"max_sequence_length > ([0-9]+)")


def pipelines() -> list[str]:
    """Return the names of all pipelines that a model may have."""
    return sorted(FAMILIES.keys() | UNTRIED_PIPELINES)


@cache
def sources() -> dict[str, tuple[ast.ClassDef, str]]:
    """Return each class of a pipeline, and the text of its module."""
    found = importlib.util.find_spec("diffusers")
    assert found
    assert found.submodule_search_locations
    (folder,) = found.submodule_search_locations
    known = {}
    for file in sorted(Path(folder, "pipelines").rglob("pipeline_*.py")):
        text = file.read_text()
        for node in ast.parse(text).body:
            if isinstance(node, ast.ClassDef) and node.name.endswith("Pipeline"):
                known[node.name] = node, text
    return known


def inputs_of(pipeline: str) -> Iterator[tuple[str, str, ast.expr | None]]:
    """Yield name, annotation and default of each input of a pipeline's call."""
    node, _ = sources()[pipeline]
    (call,) = (
        each
        for each in node.body
        if isinstance(each, ast.FunctionDef) and each.name == "__call__"
    )
    taken = [*call.args.posonlyargs, *call.args.args]
    lacking = len(taken) - len(call.args.defaults)
    defaults = [*([None] * lacking), *call.args.defaults, *call.args.kw_defaults]
    for each, default in zip([*taken, *call.args.kwonlyargs], defaults, strict=True):
        if each.arg != "self":
            written = ast.unparse(each.annotation) if each.annotation else ""
            yield each.arg, written, default


def read_parameters(pipeline: str) -> dict[str, dict[str, Any]]:
    """Return what sweeps may set of a pipeline's call, as the catalogue has it."""
    return {
        name: _describe(pipeline, name, annotation, default)
        for name, annotation, default in inputs_of(pipeline)
        if name not in OWN and not why_refused(name)
    }


def _describe(
    pipeline: str, name: str, annotation: str, node: ast.expr | None
) -> dict[str, Any]:
    assert node is not None, (pipeline, name, "has no default: refuse it")
    default = ast.literal_eval(node)
    kind = KINDS.get(_plain(annotation) or type(default).__name__)
    assert kind, (pipeline, name, annotation, "a kind must be known, or refused")
    found: dict[str, Any] = {"kind": kind, "default": default}
    if kind == "integers" and (default or "tuple[int, int]" in annotation):
        found["length"] = len(default or (0, 0))
    if kind == "number" and default is not None:
        found["default"] = float(default)
    if name == "max_sequence_length" and (most := _MOST.search(sources()[pipeline][1])):
        found["maximum"] = int(most[1])
    return found


def _plain(annotation: str) -> str:
    for old, new in (("List[", "list["), ("Tuple[", "tuple["), ("typing.", "")):
        annotation = annotation.replace(old, new)
    annotation = re.sub(r"^Optional\[(.*)\]$", r"\1", annotation)
    return _NONE.sub("", annotation).strip()


def as_json() -> str:
    """Return the text of the catalogue."""
    known = {name: read_parameters(name) for name in pipelines()}
    rows = (
        f"  {json.dumps(pipeline)}: {{\n"
        + ",\n".join(f"    {json.dumps(n)}: {json.dumps(p)}" for n, p in some.items())
        + "\n  }"
        for pipeline, some in known.items()
        if some
    )
    return "{\n" + ",\n".join(rows) + "\n}\n"


if __name__ == "__main__":
    FILE.write_text(as_json())
