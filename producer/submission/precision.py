"""The precision of a sweep whose file names none.

An existing sweep keeps the precision that it was submitted with, whatever machine reads
its file next: otherwise all its images would be made twice. A new sweep gets what its
models want, or float32 if a machine without a GPU is to make it.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from yaml.nodes import MappingNode, Node, ScalarNode

from producer.expansion.expand import Expansion
from producer.spec.parameters import PARSERS
from producer.spec.problems import listed
from producer.spec.sweepfile import Spec
from producer.spec.yamltext import compose
from storage.errors import SpecError, UsageError
from storage.jobs.sweeps import Sweep

#: A CPU computes faster in no other precision; half precision is slow there.
CPU_DTYPE = "float32"
#: Reads the sweep file, with further values of `--set` if any are given.
Read = Callable[..., Expansion]
#: Finds the sweep of a name, as it was submitted last; None if it is new.
Find = Callable[[str], Sweep | None]


def settle_precision(read: Read, find: Find, *, for_cpu: bool) -> Expansion:
    """Read a sweep, and choose its precision if its file names none.

    A precision other than what the models want becomes part of the spec, and a note
    says so.

    Args:
        read: Reads the sweep file.
        find: Finds what was submitted before.
        for_cpu: Whether a machine without a GPU is to make it.
    """
    expansion = read()
    if _names_dtype(expansion.spec):
        return expansion
    name, wanted = expansion.spec.name, _default_dtypes(expansion)
    stored = find(name)
    kept = _stored_dtype(stored.spec) if stored else None
    if kept:
        note = (
            f"{name} goes on in {kept}, as it was submitted; name a `dtype` to have it "
            "made anew in another."
        )
        return _read_with(kept, read, None if wanted == [kept] else note)
    if not for_cpu or wanted == [CPU_DTYPE]:
        return expansion
    if stored:
        note = (
            f"{name} goes on in {listed(wanted)}, as it was submitted, though a CPU is "
            f"slow at that; `--set base.dtype={CPU_DTYPE}` makes it anew."
        )
        return replace(expansion, taken=note)
    # An axis of null alone gives each model what it wants.
    several = len(wanted) > 1
    option = "--axis dtype=null" if several else f"--set base.dtype={wanted[0]}"
    note = (
        f"{name} is made in {CPU_DTYPE}, since a CPU makes it here; `{option}` makes "
        "it as a GPU would."
    )
    return _read_with(CPU_DTYPE, read, note)


def _read_with(dtype: str, read: Read, note: str | None) -> Expansion:
    expansion = read(f"base.dtype={dtype}")
    return replace(expansion, taken=note)


def _names_dtype(spec: Spec) -> bool:
    is_set = isinstance(spec.base.get("dtype"), str)
    return is_set or any("dtype" in axis.parameters for axis in spec.axes)


def _default_dtypes(expansion: Expansion) -> list[str]:
    return list(dict.fromkeys(card.dtype_default for card in expansion.models))


def _stored_dtype(text: str) -> str | None:
    """Return the dtype in the `base` of a stored spec; None if it names none."""
    try:
        node: Any = compose(text, source="the stored spec")
        for key in ("base", "dtype"):
            node = _entry(node, key)
        if isinstance(node, ScalarNode):
            return str(PARSERS["dtype"](node.value))
    except (SpecError, UsageError):
        pass  # written by another version
    return None


def _entry(node: Node | None, key: str) -> Node | None:
    pairs = node.value if isinstance(node, MappingNode) else []
    return next((value for name, value in pairs if name.value == key), None)
