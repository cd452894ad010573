"""Which files of a diffusers folder are loaded, determined by file names alone.

The rules are those of diffusers 0.42 and transformers 5 for a local folder.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from itertools import product
from typing import Any

from storage.errors import ModelError

#: The file at the root of a pipeline that names its class and its components.
INDEX = "model_index.json"

#: Components that the workers do not load: a picture that a checker blacked out
#: would falsify a comparison.
SKIPPED_COMPONENTS = frozenset({"safety_checker", "feature_extractor"})

#: The file of each component that is a single file, by the ending of its class name.
_ONE_FILE = {"Scheduler": "scheduler_config.json", "Guidance": "guider_config.json"}
_VOCABULARY_CLASSES = ("Tokenizer", "Processor", "FeatureExtractor", "Backend")
#: What tokenizers and processors read: all files of these types in their folder and
#: below it, since the names differ from class to class.
_VOCABULARY = re.compile(
    r"(?:[^.][^/]*/)*[^.][^/]*"
    r"\.(?:json|jinja|txt|model(?:\.v\d\w*)?|spm|codes|tokenizer|tiktoken)"
)
#: The vocabulary files that the first version knew: its fingerprints cover only these.
_FIRST_VOCABULARY = frozenset(
    {
        "added_tokens.json",
        "merges.txt",
        "preprocessor_config.json",
        "processor_config.json",
        "special_tokens_map.json",
        "spiece.model",
        "tokenizer.json",
        "tokenizer.model",
        "tokenizer_config.json",
        "vocab.json",
    }
)
#: What transformers also reads for a text encoder that can generate text.
_GENERATION_FILE = "generation_config.json"
_ADAPTER_FILE = "adapter_config.json"
#: How names of weight files begin, by the library of the component; others use both.
_STEMS = {"transformers": ("model",), "diffusers": ("diffusion_pytorch_model",)}
#: Weights of components that Flax has saved.
_FLAX_FILES = {
    "transformers": "flax_model.msgpack",
    "diffusers": "diffusion_flax_model.msgpack",
}
_FLAX = "Flax"
_COUNT = r"-\d{5}-of-(?P<total>\d{5})"
_VARIANT_INFIX = re.compile(
    r"(?:^|/)(?:diffusion_pytorch_)?model(?:-\d{5}-of-\d{5})?\.(\w+)(?:-\d.*)?"
    r"\.safetensors$"
)


def read_components(index: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Return the components that are loaded: name to (library, class).

    Raises:
        ModelError: The index names custom code, or no pipeline class.
    """
    if not isinstance(index.get("_class_name"), str):
        msg = (
            f"{INDEX} must name a pipeline class of diffusers in `_class_name`, got"
            f" {index.get('_class_name')!r}; a model's own code is never run"
        )
        raise ModelError(msg)
    return {
        name: (entry[0], entry[1])
        for name, entry in index.items()
        if name not in SKIPPED_COMPONENTS and _is_component(name, entry)
    }


def loaded_files(
    paths: Iterable[str],
    index: Mapping[str, Any],
    *,
    variant: str | None,
    held: Collection[str] = (),
) -> tuple[str, ...]:
    """Choose the files that `DiffusionPipeline.from_pretrained` reads.

    The call has `use_safetensors=True`, this `variant`, and None for the components in
    `SKIPPED_COMPONENTS`. It reads the index and, for each component, its configuration
    or vocabulary and its safetensors: those of the variant if it has any, else plain.

    Args:
        paths: All files of the model, relative, with `/`.
        index: What model_index.json says.
        variant: File variant such as `fp16`.
        held: Components whose weights are elsewhere, so that only their
            configuration is read.

    Returns:
        Sorted paths.

    Raises:
        ModelError: A component has no safetensors, or lacks a file.
    """
    listed = set(paths)
    chosen = [INDEX]
    for name, kind in read_components(index).items():
        prefix = f"{name}/"
        here = {p.removeprefix(prefix) for p in listed if p.startswith(prefix)}
        if f"{kind[0]}.py" in here:
            msg = f"{prefix}{kind[0]}.py is code of the model's own, which is never run"
            raise ModelError(msg)
        if name in held:
            chosen += [prefix + file for file in _require(here, name, ["config.json"])]
            continue
        chosen += [prefix + file for file in _choose_files(here, name, kind, variant)]
    if variant and not any(_has_variant(file, variant) for file in chosen):
        raise ModelError(_no_variant(listed, variant))
    return tuple(sorted(chosen))


def files_at_root(paths: Iterable[str], name: str, *, weights: bool) -> tuple[str, ...]:
    """Choose the files that transformers reads of a model without an index.

    These are its configuration, its safetensors, and all files that any tokenizer or
    processor reads, at the root of the model.

    Args:
        paths: All files of the model, relative, with `/`.
        name: The model, for messages.
        weights: False for its tokenizer and processor only.

    Returns:
        Sorted paths.

    Raises:
        ModelError: It has no safetensors, or lacks a file.
    """
    here = {path for path in paths if "/" not in path}
    chosen = _choose_files(here, name, ("transformers", "Processor"), None)
    if weights:
        chosen += _choose_files(here, name, ("transformers", "Model"), None)
    return tuple(sorted(set(chosen)))


def weights_at_root(
    paths: Iterable[str], name: str, *, variant: str | None
) -> tuple[str, ...]:
    """Choose the files that diffusers reads of a network in a folder of its own.

    Args:
        paths: All files of the folder, relative, with `/`.
        name: The network, for messages.
        variant: File variant such as `fp16`.

    Returns:
        Sorted paths.

    Raises:
        ModelError: It has no safetensors, or lacks a file.
    """
    here = {path for path in paths if "/" not in path}
    chosen = _choose_files(here, name, ("diffusers", "Model"), variant)
    if variant and not any(_has_variant(file, variant) for file in chosen):
        raise ModelError(_no_variant(here, variant))
    return tuple(sorted(chosen))


def is_saved_by_flax(index: Mapping[str, Any]) -> bool:
    """Return whether Flax has saved the weights, so that torch cannot load them."""
    return str(index["_class_name"]).startswith(_FLAX)


def torch_class(name: str) -> str:
    """Return a class by its name in torch: FlaxPNDMScheduler is PNDMScheduler."""
    return name.removeprefix(_FLAX)


def first_version(files: Iterable[str], index: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the loaded files that the first version of this list also had.

    Args:
        files: As `loaded_files` returns them.
        index: What model_index.json says.
    """
    kinds = read_components(index)
    return tuple(file for file in files if _was_known(file, kinds))


def left_out(index: Mapping[str, Any]) -> dict[str, None]:
    """Return the components that are loaded as None, as arguments of diffusers.

    Empty components must be passed as None: diffusers raises for SD 3 without T5.

    Args:
        index: What model_index.json says.
    """
    return {
        name: None
        for name, entry in index.items()
        if name in SKIPPED_COMPONENTS or entry == [None, None]
    }


def is_weights(file: str) -> bool:
    """Return whether a loaded file is large and not needed for a plan."""
    return file.endswith((".safetensors", ".msgpack"))


def _is_component(name: str, entry: object) -> bool:
    # A component's name becomes a folder's name, so only plain words are accepted.
    return (
        isinstance(entry, list)
        and len(entry) == 2
        and all(isinstance(part, str) for part in entry)
        and name.isidentifier()
        and not name.startswith("_")
    )


def _was_known(file: str, kinds: Mapping[str, tuple[str, str]]) -> bool:
    component, _, name = file.partition("/")
    if not name:
        return True
    if _is_vocabulary(kinds[component][1]):
        return name in _FIRST_VOCABULARY
    return name != _GENERATION_FILE


def _is_vocabulary(class_name: str) -> bool:
    return any(word in class_name for word in _VOCABULARY_CLASSES)


def _choose_files(
    here: set[str], component: str, kind: tuple[str, str], variant: str | None
) -> list[str]:
    """Choose among the files `here` of a component of this (library, class)."""
    library, class_name = kind
    for end, file in _ONE_FILE.items():
        if class_name.endswith(end):
            return _require(here, component, [file])
    # A tokenizer for sounds or pictures is a network.
    is_network = any(file.startswith("diffusion_pytorch_model") for file in here)
    if _is_vocabulary(class_name) and not is_network:
        found = [file for file in sorted(here) if _VOCABULARY.fullmatch(file)]
        return found or _require(here, component, ["tokenizer_config.json"])
    chosen = _require(here, component, ["config.json"])
    if library == "transformers":
        _refuse_adapter(here, component)
        chosen += [file for file in (_GENERATION_FILE,) if file in here]
    if class_name.startswith(_FLAX):
        return chosen + _require(here, component, [_FLAX_FILES[library]])
    return chosen + _choose_weights(here, component, library, variant=variant)


def _refuse_adapter(here: set[str], component: str) -> None:
    if _ADAPTER_FILE in here:
        msg = (
            f"{component}/{_ADAPTER_FILE} belongs to an adapter, which transformers"
            " loads on machines that have the package peft, and skips on others; merge"
            " it into the weights, or remove it"
        )
        raise ModelError(msg)


def _require(here: set[str], component: str, files: list[str]) -> list[str]:
    for file in files:
        if file not in here:
            msg = f"{component}/{file} is missing; restore it from where the model came"
            raise ModelError(msg)
    return files


def _choose_weights(
    here: set[str], component: str, library: str, *, variant: str | None
) -> list[str]:
    stems = _STEMS.get(library, ("model", "diffusion_pytorch_model"))
    infixes = [f".{variant}", ""] if variant else [""]
    for infix, stem in product(infixes, stems):
        single = [f"{stem}{infix}.safetensors"]
        shards = _list_shards(here, component, stem, infix)
        # If there are both, transformers takes the single file, diffusers the shards.
        order = (single, shards) if stem == "model" else (shards, single)
        for files in order:
            if files and files[0] in here:
                return files
    raise ModelError(_no_weights(here, component, stems[0]))


def _no_weights(here: set[str], component: str, stem: str) -> str:
    rule = f"{component} must have safetensors weights ({stem}.safetensors), found"
    if variants := _list_variants(here):
        return (
            f"{rule} the variant {' and the variant '.join(variants)} only; write the"
            f" model as {{id: ..., variant: {variants[0]}}}"
        )
    others = sorted(file for file in here if not file.endswith(".json"))
    return (
        f"{rule} {', '.join(others) or 'none'}; save the model again with"
        " `save_pretrained(folder, safe_serialization=True)`, or choose another"
    )


def _list_shards(here: set[str], component: str, stem: str, infix: str) -> list[str]:
    """Return the index and all shards, or nothing if there is no index."""
    escaped = re.escape(infix)
    for index, pattern in (
        (
            f"{stem}.safetensors.index{infix}.json",
            f"{stem}{escaped}{_COUNT}.safetensors",
        ),
        # How diffusers wrote variants before 0.31.
        (
            f"{stem}.safetensors{infix}.index.json",
            f"{stem}{_COUNT}{escaped}.safetensors",
        ),
    ):
        if index not in here:
            continue
        found = [
            match for file in sorted(here) if (match := re.fullmatch(pattern, file))
        ]
        if not found or len(found) != int(found[-1]["total"]):
            msg = (
                f"{component}/{index} needs all of its shards, found {len(found)};"
                " fetch the model again"
            )
            raise ModelError(msg)
        return [index, *(match.string for match in found)]
    return []


def _has_variant(file: str, variant: str) -> bool:
    return f".{variant}." in file or f".{variant}-" in file


def _no_variant(listed: set[str], variant: str) -> str:
    found = ", ".join(_list_variants(listed)) or "none"
    return (
        f"no component has safetensors of the variant {variant!r}; there is {found}:"
        " change `variant`, or leave it out"
    )


def _list_variants(files: Iterable[str]) -> list[str]:
    return sorted(
        {match[1] for file in files if (match := _VARIANT_INFIX.search(file))}
    )
