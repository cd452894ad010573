"""The lines of a script that add LoRAs and textual inversions to a pipeline."""

from collections.abc import Iterator
from pathlib import Path, PurePath

from storage.job import Job, Model
from storage.models.adapter_pipelines import EMBEDDING_PARTS
from storage.models.model_files import is_hub_id


def adding_lines(job: Job) -> Iterator[str]:
    """Yield the lines for a job; none for most jobs.

    Args:
        job: Its parts say where the files are.
    """
    rows = job.parameter("loras")
    names = [f"lora_{number}" for number, _ in enumerate(rows, 1)]
    for name, (mark, _) in zip(names, rows, strict=True):
        folder, more = _split(_place(job, mark))
        more["adapter_name"] = name
        named = "".join(f", {key}={_text(value)}" for key, value in more.items())
        yield f"pipe.load_lora_weights({_text(folder)}{named})"
    if names:
        listed = ", ".join(map(_text, names))
        scales = ", ".join(f"{scale!r}" for _, scale in rows)
        yield f"pipe.set_adapters([{listed}], [{scales}])"
    for mark, token in job.parameter("embeddings"):
        yield from _embedding(job, _place(job, mark), token)


def import_lines(job: Job) -> Iterator[str]:
    """Yield the imports that these lines need."""
    if job.parameter("embeddings"):
        if any(is_hub_id(_place(job, m).name) for m, _ in job.parameter("embeddings")):
            yield "from huggingface_hub import hf_hub_download"
        yield "from safetensors.torch import load_file"


def _embedding(job: Job, place: Model, token: str) -> Iterator[str]:
    folder, more = _split(place)
    file = _text(str(PurePath(folder) / more["weight_name"]))
    if is_hub_id(place.name):
        arguments = [folder, more.pop("weight_name")]
        named = "".join(f", {key}={_text(value)}" for key, value in more.items())
        file = f"hf_hub_download({', '.join(map(_text, arguments))}{named})"
    yield f"vectors = load_file({file})"
    parts = EMBEDDING_PARTS.get(job.model.pipeline or "", {"text_encoder": ()})
    for part, names in parts.items():
        vector = "next(iter(vectors.values()))"
        if names:
            vector = f"next(vectors[n] for n in {names!r} if n in vectors)"
        yield "pipe.load_textual_inversion("
        yield f"    {{{_text(token)}: {vector}}},"
        yield f"    token={_text(token)},"
        yield f"    text_encoder=pipe.{part},"
        yield f"    tokenizer=pipe.{part.replace('text_encoder', 'tokenizer')},"
        yield ")"


def _place(job: Job, mark: str) -> Model:
    """Return the first place of a file, on this machine if there is one."""
    places = [part for part in job.parts if part.fingerprint == mark]
    here = [place for place in places if Path(place.name).is_file()]
    unknown = Model(fingerprint=mark, name=f"{mark}.safetensors")
    return (*here, *places, unknown)[0]


def _split(place: Model) -> tuple[str, dict[str, str]]:
    """Return a folder or repository, and which file of it is meant."""
    if not is_hub_id(place.name):
        path = PurePath(place.name)
        return str(path.parent), {"weight_name": path.name}
    version = place.commit or place.revision
    more = {"weight_name": str(place.variant)}
    return place.name, more | ({"revision": version} if version else {})


def _text(value: str) -> str:
    text = repr(value)
    return f'"{text[1:-1]}"' if text[0] == "'" and '"' not in value else text
