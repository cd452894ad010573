"""Command-line options that change a spec: `--set base.width=768`, `--axis steps=8,12`.

`--axis steps+=40` adds values to those in the file.

The options change the tree of YAML nodes, so that their values are read by the same
rules as the file's, and the changed spec can be written out and stored.
"""

import copy
import itertools
import re
import shlex
from collections.abc import Sequence

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from producer.spec.calls import KEY
from producer.spec.entries import items
from producer.spec.habits import renamed
from producer.spec.parameters import CALL_TEXTS, LISTS, PARAMETERS, WEIGHTS
from producer.spec.problems import Place, Problems, as_axis, nearest, shown
from producer.spec.yamltext import check_text, compose, is_null
from storage.errors import SpecError, UsageError

#: How the comments that name the options of a changed spec begin.
_OPTIONS = ("# --set ", "# --axis ")
_TEXT = "tag:yaml.org,2002:str"
_MAPPING = "tag:yaml.org,2002:map"
_LIST = "tag:yaml.org,2002:seq"
#: Sections that `--set` may lead into; every other key of a spec is set as a whole.
_SECTIONS = ("base", "axes", "limits", "sample")
#: Axes whose values hold commas, so that commas separate them in brackets only.
_TEXT_AXES = ("prompt", "negative_prompt", *CALL_TEXTS)
# A pattern such as `*_karras` in a list without quotes, which YAML takes for an alias.
_STARRED = re.compile(r"(^|[\[,])\s*(\*[^,\]{}]*?)\s*(?=[,\]]|$)")
# A list, a text in quotes, a prompt file, a bundle, null; `{red|green} fox` is a text.
_YAML_VALUE = re.compile(
    r"""\s*((\[|"|'|\{\s*(file|label|set)\s*:).*|(null|~)\s*)""", re.DOTALL
)
# Hydra's `range(1,10)`, whose commas separate no values.
_CALL = re.compile(r"\s*[a-z]+\([^()]*\)\s*")
# Several values without brackets; a mapping or a text in quotes is one.
_SEVERAL = re.compile(r"""\s*[^\s"'\[{][^,]*,.*""", re.DOTALL)
#: Parameters whose value may hold commas.
_FREE = ("prompt", "negative_prompt", "tag", "model", *CALL_TEXTS, *LISTS, *WEIGHTS)


def apply_options(
    root: MappingNode, *, sets: Sequence[str], axes: Sequence[str], problems: Problems
) -> None:
    """Change the tree as the options say; wrong options become problems.

    Args:
        root: The whole spec; changed in place.
        sets: Of the form `base.width=768`; the value is YAML.
        axes: Of the form `steps=8,12,20`, or `steps+=40` to add to what is there; the
            values are the items of a YAML list. A prompt is one text, commas included;
            a list of prompts is in brackets.
        problems: Where mistakes are noted, each at its option.
    """
    given: set[tuple[str, ...]] = set()
    for option in sets:
        _apply(root, f"--set {option}", problems, given=given)
    for option in axes:
        _apply(root, f"--axis {option}", problems, given=given)
    for option in sets:
        with problems.at(_place(f"--set {option}")):
            _check_effect(root, option)


def write_out(root: Node, *, sets: Sequence[str], axes: Sequence[str]) -> str:
    """Return the changed tree as YAML, under a comment that names the options."""
    options = [f"--set {each}" for each in sets] + [f"--axis {each}" for each in axes]
    head = "".join(f"# {' '.join(option.split())}\n" for option in options)
    return head + str(yaml.serialize(root, allow_unicode=True))


def is_written_out(text: str) -> bool:
    """Return whether a text is as `write_out` writes it: without people's comments."""
    lines = text.splitlines(keepends=True)
    body = "".join(itertools.dropwhile(lambda line: line.startswith(_OPTIONS), lines))
    try:
        root = compose(body, source="-")
    except SpecError:
        return False
    return root is not None and write_out(root, sets=(), axes=()) == body


def _apply(
    root: MappingNode, option: str, problems: Problems, *, given: set[tuple[str, ...]]
) -> None:
    place = _place(option)
    is_axis = option.startswith("--axis")
    try:
        path, text = _split(root, option)
        is_added = is_axis and path[-1].endswith("+")
        if is_added:
            path[-1] = path[-1].removesuffix("+").strip()
        else:
            _check_once(path, text, given)
        is_text = is_axis and path[-1] in _TEXT_AXES
        if is_text and not _YAML_VALUE.fullmatch(text):
            literal = _literal(text.strip(), option)
            check_text(literal, problems)
            node: Node = literal
        else:
            node = _read(text, option, is_list=is_axis)
        if is_added:
            node = _joined(_values(root, path[-1]), node)
        _put(root, path, node)
        if not is_null(node):  # a null counts as not set
            given.add(tuple(path))
    except SpecError as error:
        for problem in error.problems:
            problems.add(place, problem.message)
    except UsageError as error:
        problems.add(place, str(error))


def _place(option: str) -> Place:
    return Place(option, 0, 0, "")


def _split(root: MappingNode, option: str) -> tuple[list[str], str]:
    """Return the path that an option sets, and the text of its value."""
    flag, _, assignment = option.partition(" ")
    is_axis = flag == "--axis"
    name, equals, text = assignment.partition("=")
    if not equals or not name.strip():
        example = "steps=8,12,20" if is_axis else "base.width=768"
        msg = f"{flag} must be of the form {example}, got {shown(assignment)}; add `=`"
        raise UsageError(msg)
    if is_axis:
        return ["axes", name.strip()], text
    path = _path_of(name)
    _check_path(root, path, name=name, text=text)
    return path, text


def _path_of(name: str) -> list[str]:
    """Return the path that a name means: `call.shift` is a key of `base`."""
    first, *rest = (part.strip() for part in name.split("."))
    if first == KEY and rest:
        return ["base", ".".join([KEY, *rest])]
    if rest[:1] == [KEY]:
        return [first, ".".join(rest)]
    return [first, *rest]


def _check_path(root: MappingNode, path: list[str], *, name: str, text: str) -> None:
    """Refuse a path that `--set` must not lead into, and several values."""
    if len(path) == 1 and path[0] in PARAMETERS:
        msg = (
            f"--set must lead into {', '.join(_SECTIONS)}, got {shown(name)}; write "
            f"{_way_to_set(root, path[0], text)}"
        )
        raise UsageError(msg)
    if len(path) > 1 and path[0] not in _SECTIONS:
        msg = (
            f"--set must lead into {', '.join(_SECTIONS)}, got {shown(name)}; "
            f"{nearest(path[0], _SECTIONS)}"
        )
        raise UsageError(msg)
    if len(path) == 2 and path[1] in PARAMETERS and _is_several(path, text):
        msg = (
            f"--set must give one value, got {shown(text)}; write "
            f"{as_axis(path[1], text)} for several"
        )
        raise UsageError(msg)


def as_option(word: str) -> str | None:
    """Return the option for a word of Hydra's command line, `+steps=10,20`, or None."""
    name, equals, text = word.lstrip("+").partition("=")
    section, _, key = name.rpartition(".")
    parameter = renamed(key, PARAMETERS)
    if not equals or not parameter:
        return None
    if section == "base" and not _is_several([section, parameter], text):
        return f"`--set {shown(shlex.quote(f'base.{parameter}={text}'))}`"
    return as_axis(parameter, text)


def _way_to_set(root: MappingNode, parameter: str, text: str) -> str:
    if _axis_of(root, parameter) or _is_several(["base", parameter], text):
        return as_axis(parameter, text)
    return f"`--set {shown(shlex.quote(f'base.{parameter}={text}'))}`"


def _is_several(path: list[str], text: str) -> bool:
    if path[0] == "base" and text.lstrip().startswith("["):
        return path[1] not in {*LISTS, *WEIGHTS}
    is_list = _SEVERAL.fullmatch(text) and not _CALL.fullmatch(text)
    return path[1] not in _FREE and bool(is_list)


def _check_once(path: list[str], text: str, given: set[tuple[str, ...]]) -> None:
    if tuple(path) not in given:
        return
    name, way_out = ".".join(path), "remove one of the two"
    if path[0] == "axes":
        name = path[-1]
        way_out = f"write {as_axis(f'{name}+', text)} to add to its values"
    msg = f"an option must give each value once, got {shown(name)} again; {way_out}"
    raise UsageError(msg)


def _check_effect(root: MappingNode, option: str) -> None:
    """Refuse to set a value of `base` that an axis sets for every job.

    If the file has `include`, the jobs that it adds may still take the value of `base`.
    """
    name, _, text = option.partition("=")
    section, *rest = _path_of(name)
    parameter = ".".join(rest)
    axis = _axis_of(root, parameter)
    if section != "base" or axis is None or _find(root, "include") is not None:
        return
    way_out = f"change the axis `{shown(axis)}`"
    if axis == parameter:
        way_out = f"write {as_axis(parameter, text)}"
    msg = f"--set must change a value that no axis sets, got {shown(name)}; {way_out}"
    raise UsageError(msg)


def _axis_of(root: MappingNode, parameter: str) -> str | None:
    """Return the axis whose values all set a parameter, or None."""
    axes = _find(root, "axes")
    for key, node in axes.value if isinstance(axes, MappingNode) else ():
        bundles = items(node)
        if key.value == parameter or (
            bundles and all(_sets(parameter, each) for each in bundles)
        ):
            return str(key.value)
    return None


def _sets(parameter: str, node: Node) -> bool:
    inner = _find(node, "set") if isinstance(node, MappingNode) else None
    return isinstance(inner, MappingNode) and _find(inner, parameter) is not None


def _read(text: str, option: str, *, is_list: bool) -> Node:
    if is_list and "'" not in text and '"' not in text:
        text = _STARRED.sub(r'\1"\2"', text)
    if is_list and _CALL.fullmatch(text):
        return _literal(text.strip(), option)
    if is_list and not text.lstrip().startswith("["):
        text = f"[{text}]"
    node = compose(text, source=option)
    return node if node is not None else _literal("", option)


def _literal(text: str, option: str) -> ScalarNode:
    mark = yaml.Mark(option, 0, 0, 0, None, 0)
    return ScalarNode(_TEXT, text, mark, mark, style='"')


def _values(root: MappingNode, name: str) -> Node:
    """Return the values of an axis, or else the value of that name in `base`."""
    for section in ("axes", "base"):
        known = _find(root, section)
        node = _find(known, name) if isinstance(known, MappingNode) else None
        if node is not None:
            return node
    msg = (
        f"`{name}+=` must add to values of the sweep file, got no {name} in it; name "
        "all values there"
    )
    raise UsageError(msg)


def _joined(old: Node, new: Node) -> SequenceNode:
    """Return the old values and those of the new ones that are not among them."""
    # Copied: nodes that stand in two places would be written out as aliases.
    joined = copy.deepcopy(items(old))
    known = {_written(node) for node in joined}
    joined += [node for node in items(new) if _written(node) not in known]
    return SequenceNode(_LIST, joined, old.start_mark, old.end_mark, flow_style=True)


def _written(node: Node) -> str | None:
    if is_null(node):
        return None
    return str(node.value if isinstance(node, ScalarNode) else yaml.serialize(node))


def _find(mapping: MappingNode, name: str) -> Node | None:
    return next((value for key, value in mapping.value if key.value == name), None)


def _put(root: MappingNode, path: list[str], node: Node) -> None:
    *parents, last = path
    target = root
    for name in parents:
        child = _find(target, name)
        if child is None:
            child = MappingNode(_MAPPING, [], node.start_mark, node.end_mark)
            _assign(target, name, child)
        if not isinstance(child, MappingNode):
            msg = f"`{name}` must be a mapping, got something else in the file; fix it"
            raise UsageError(msg)
        target = child
    _assign(target, last, node)


def _assign(target: MappingNode, name: str, node: Node) -> None:
    for index, (key, _) in enumerate(target.value):
        if key.value == name:
            target.value[index] = (key, node)
            return
    key = ScalarNode(_TEXT, name, node.start_mark, node.end_mark)
    target.value.append((key, node))
