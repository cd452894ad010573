"""The lines of a script that load a single file, as `workers.engine.loading` does."""

import json
from collections.abc import Iterator, Sequence

from storage.job import Model
from storage.models.checkpoint_names import is_gguf, parse
from storage.models.components import is_weights, left_out, read_components
from storage.models.located import Located

#: What is called, and its arguments in groups.
Call = tuple[str, Sequence[Sequence[str]]]


def classes_for_file(
    found: Located | None, place: Model, kind: str | None = None
) -> Iterator[tuple[str, str]]:
    """Yield the (library, class) of all that `loading_of_file` calls.

    Args:
        found: What is on this machine; None if that is not the model.
        place: The model.
        kind: The pipeline's class, if it is not the model's own.
    """
    yield "diffusers", kind or _pipeline(found, place)
    if found is not None:
        kinds = read_components(found.index)
        yield from (kinds[part] for part in _parts(found))
    if is_gguf(place.name):
        yield "diffusers", "GGUFQuantizationConfig"


def loading_of_file(
    found: Located | None,
    place: Model,
    *,
    dtype: str,
    kind: str | None = None,
    more: Sequence[str] = (),
) -> list[Call]:
    """Return the calls that load the pipeline, the last of which is named `pipe`.

    Args:
        found: What is on this machine; None if that is not the model.
        place: The model.
        dtype: Name of a dtype of torch.
        kind: The pipeline's class, if it is not the model's own.
        more: Arguments that load what the model does not have.
    """
    begin = f"pipe = {kind or _pipeline(found, place)}.from_"
    file, given = _text(parse(place.name).file), f"dtype=torch.{dtype}"
    if found is None:
        return [(begin + "single_file", [[file, given], more])]
    folder = _text(str(found.folder))
    calls: list[Call] = []
    for part in _parts(found):
        name = f"{part} = {read_components(found.index)[part][1]}.from_"
        where = f"subfolder={_text(part)}"
        if part in found.held:
            arguments = [file, f"config={folder}", where, given]
            calls.append((name + "single_file", [arguments, _of_gguf(place, dtype)]))
        else:
            arguments = [folder, where, given, "use_safetensors=True"]
            calls.append((name + "pretrained", [arguments]))
    parts = [f"{part}={part}" for part in _parts(found)]
    parts += [f"{part}=None" for part in left_out(found.index)]
    parts += more
    if found.holds_encoders:
        whole = begin + "single_file", [[file, f"config={folder}", given], parts]
    else:
        whole = begin + "pretrained", [[folder, given, "use_safetensors=True"], parts]
    return [*calls, whole]


def _pipeline(found: Located | None, place: Model) -> str:
    if found is None:
        return place.pipeline or "StableDiffusionPipeline"
    is_whole = found.holds_encoders
    return str(found.index["_class_name"]) if is_whole else "DiffusionPipeline"


def _parts(found: Located) -> list[str]:
    """Return the components that are loaded one by one, before the pipeline."""
    if not found.holds_encoders:
        return sorted(found.held)
    weights = {file.partition("/")[0] for file in found.files if is_weights(file)}
    return sorted(weights & set(read_components(found.index)))


def _of_gguf(place: Model, dtype: str) -> list[str]:
    """Return the argument that a GGUF file needs; none for others."""
    if not is_gguf(place.name):
        return []
    config = f"GGUFQuantizationConfig(compute_dtype=torch.{dtype})"
    return [f"quantization_config={config}"]


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)
