"""The plain diffusers script that makes an image, from what is recorded of it.

It does what `workers.engine.plain` does, in as many lines as a person would write.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from textwrap import wrap
from typing import Any

from producer.reproduction.added_weights import adding_lines, import_lines
from producer.reproduction.cache_lines import (
    cache_arguments,
    cache_begins,
    cache_imports,
)
from producer.reproduction.control_lines import (
    control_inputs,
    control_lines,
    control_pipeline,
    loading_argument,
    loading_lines,
)
from producer.reproduction.image_lines import (
    image_imports,
    image_inputs,
    image_lines,
    image_pipeline,
)
from producer.reproduction.quantisation_lines import (
    needs_transformers,
    quantisation_arguments,
    quantisation_imports,
    quantisation_lines,
)
from producer.reproduction.single_file_script import classes_for_file, loading_of_file
from storage.catalogue.pipeline_calls import fixed_inputs
from storage.catalogue.pipeline_families import FAMILIES
from storage.catalogue.schedulers import takes_seed
from storage.errors import ModelError
from storage.job import TORCH, Job, Model
from storage.jobs.records import Made, Record
from storage.models.checkpoint_names import is_checkpoint
from storage.models.components import left_out
from storage.models.located import Located
from storage.models.model_files import is_builtin
from storage.models.places import locate_place

#: Columns of a line, as in most formatted code.
COLUMNS = 88
#: What `model_index.json` of Stable Diffusion names, for a model that is not here.
_USUAL_SD = {
    "_class_name": "StableDiffusionPipeline",
    "safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"],
    "feature_extractor": ["transformers", "CLIPImageProcessor"],
}
#: Pipelines that look for `text_encoder.text_model` where `clip_skip` is set.
_ASK_FOR_TEXT_MODEL = ("StableDiffusionPipeline", "LatentConsistencyModelPipeline")
#: Extras of jobs that are inputs of pipelines.
_EXTRAS = ("clip_skip", "eta")
#: Versions that the first line names.
_PACKAGES = ("torch", "diffusers", "transformers", "torchao", "gguf")


def write_script(record: Record) -> str:
    """Return a Python script that makes an image with diffusers, and saves it.

    All that decides the picture is in it. What diffusers has no words for, such as the
    row of a mixed batch, is said in a comment.

    Args:
        record: Of an image, made or not.
    """
    job = record.job
    place, found = _find(record)
    usual = _USUAL_SD if job.model.family == "sd" else {}
    index = found.index if found else usual
    lines = [
        *_remarks(record),
        *_imports(job, place, found),
        "",
        *_threads(record.made),
        *loading_lines(job),
        *_pipe(record, place, found, index=index),
        *adding_lines(job),
        *_mending(job, index),
        *_call(
            f"pipe.scheduler = {job.scheduler_class}.from_config",
            [["pipe.scheduler.config", *_named(_scheduler_options(job))]],
            ")",
        ),
        *_cache(job),
        *_noise(job),
        *image_lines(job),
        *control_lines(job),
        *_call("image = pipe", _inputs(job, index), ").images[0]"),
        f'image.save("{record.key}.png")',
    ]
    return "\n".join(lines) + "\n"


def _find(record: Record) -> tuple[Model, Located | None]:
    """Return a place of the model, and its files if they are on this machine."""
    for place in (record.job.model, *record.places):
        try:
            return place, locate_place(place)
        except ModelError:
            continue
    return record.job.model, None


def _remarks(record: Record) -> Iterator[str]:
    made = record.made
    if made is None:
        yield from _remark(f"Image {record.key} of nightsweep, which is not made yet.")
        return
    versions = [f"{p} {made.details[p]}" for p in _PACKAGES if p in made.details]
    yield from _remark(
        f"Image {record.key} of nightsweep, made with {', '.join(versions)} on "
        f"{made.gpu}."
    )
    if made.batch_width > 1:
        yield from _remark(
            f"It was made in row {made.slot} of a mixed batch of {made.batch_width}; "
            "this script makes it alone, so its pixels may differ in the last bits."
        )
    if record.job.backend != TORCH:
        yield from _remark(
            f"It was made by {record.job.backend}; this script begins with the same "
            "noise, but torch's pixels differ a little."
        )
    if made.details.get("compiled"):
        yield from _remark(
            f"Its network ran under {made.details['compiled']}, so its pixels may "
            "differ in the last bits."
        )


def _remark(text: str) -> list[str]:
    # `split` leaves no line break of a name behind, which would end the comment.
    words = "".join(each if each.isprintable() else " " for each in text).split()
    return wrap(" ".join(words), COLUMNS, initial_indent="# ", subsequent_indent="# ")


def _imports(job: Job, place: Model, found: Located | None) -> Iterator[str]:
    if job.generator == "numpy":
        yield "import numpy"
    yield "import torch"
    if needs_transformers(job):
        yield "import transformers"
    classes = {("diffusers", _pipeline_class(job) or "DiffusionPipeline")}
    if is_checkpoint(place.name):
        classes = set(classes_for_file(found, place, _pipeline_class(job)))
    classes |= {("diffusers", job.scheduler_class), *cache_imports(job)}
    classes.update(quantisation_imports(job))
    if with_nets := control_pipeline(job):
        classes.add(("diffusers", with_nets.net))
    for library, named in groupby(sorted(classes), key=lambda each: each[0]):
        yield f"from {library} import {', '.join(name for _, name in named)}"
    yield from image_imports(job)
    yield from import_lines(job)
    if is_builtin(place.name):
        yield "from storage.models.model_files import BUILTIN_FOLDERS  # of nightsweep"


def _pipeline_class(job: Job) -> str | None:
    """Return the class that paints the job; None for the model's own."""
    if with_nets := control_pipeline(job):
        return with_nets.name_for(from_image=bool(job.parameter("image")))
    known = image_pipeline(job)
    return known.name if known else None


def _threads(made: Made | None) -> Iterator[str]:
    """Yield the line with the number of threads, which decides bits on a CPU only."""
    if made and not made.details.get("cuda") and made.details.get("threads"):
        yield f"torch.set_num_threads({int(made.details['threads'])})"


def _device(record: Record) -> str:
    if record.made is None:
        return '"cuda" if torch.cuda.is_available() else "cpu"'
    return '"cuda"' if record.made.details.get("cuda") else '"cpu"'


def _pipe(
    record: Record, place: Model, found: Located | None, *, index: Mapping[str, Any]
) -> Iterator[str]:
    """Yield the lines that load the pipeline."""
    on_device = f").to({_device(record)})"
    kind = _pipeline_class(record.job)
    if not is_checkpoint(place.name):
        yield from quantisation_lines(record.job)
        begin = f"pipe = {kind or 'DiffusionPipeline'}.from_pretrained"
        yield from _call(begin, _loading(record.job, place, index), on_device)
        return
    dtype = record.job.dtype
    more = loading_argument(record.job)
    calls = loading_of_file(found, place, dtype=dtype, kind=kind, more=more)
    for begin, groups in calls:
        yield from _call(begin, groups, on_device if "pipe = " in begin else ")")
    if found and found.scheduler_options:
        options = _named(found.scheduler_options)
        yield from _call("pipe.scheduler.register_to_config", [options], ")")


def _loading(job: Job, place: Model, index: Mapping[str, Any]) -> list[list[str]]:
    builtin = f'BUILTIN_FOLDERS["{place.name}"]'
    versions = {"revision": place.commit or place.revision, "variant": place.variant}
    return [
        [
            builtin if is_builtin(place.name) else _literal(place.name),
            *_named({name: value for name, value in versions.items() if value}),
        ],
        [f"dtype=torch.{job.dtype}", "use_safetensors=True", *_named(left_out(index))],
        quantisation_arguments(job),
        loading_argument(job),
    ]


def _mending(job: Job, index: Mapping[str, Any]) -> Iterator[str]:
    """Yield what `workers.engine.loading.mend_clip_skip` does, where it is needed."""
    if job.parameter("clip_skip") and index.get("_class_name") in _ASK_FOR_TEXT_MODEL:
        encoder = "pipe.text_encoder"
        yield f'vars({encoder})["text_model"] = {encoder}  # transformers 5 has none'


def _cache(job: Job) -> Iterator[str]:
    if begin := cache_begins(job):
        yield from _call(begin, cache_arguments(job), "))")


def _noise(job: Job) -> Iterator[str]:
    """Yield what `workers.engine.first_noise` does, where the job asks for it."""
    if job.generator != "numpy":
        return
    drawn = 'torch.from_numpy(noise.standard_normal(shape, dtype="float32"))'
    yield f"noise = numpy.random.Generator(numpy.random.PCG64({job.seed}))"
    if _takes_noise(job):
        scale = "pipe.vae_scale_factor"
        sides = f"{job.height} // {scale}, {job.width} // {scale}"
        yield f"shape = (1, pipe.unet.config.in_channels, {sides})"
        yield f"latents = {drawn}"
    else:  # it takes packed latents only
        yield 'pipe.prepare_latents.__globals__["randn_tensor"] = lambda shape, **_: ('
        yield f"    {drawn}"
        yield f"    .to(pipe.device, torch.{job.dtype})"
        yield ")"


def _takes_noise(job: Job) -> bool:
    """Return whether latents that a pipeline takes have the shape of its noise."""
    return job.model.family in ("sd", "sdxl")


def _scheduler_options(job: Job) -> dict[str, Any]:
    seed = {"noise_sampler_seed": job.seed} if takes_seed(job.scheduler_class) else {}
    return {**job.scheduler_options, **seed}


def _inputs(job: Job, index: Mapping[str, Any]) -> list[list[str]]:
    family = FAMILIES.get(index.get("_class_name", ""))
    takes_scale = family is None or family.takes_scale
    device = "cuda" if job.generator == "cuda" else "cpu"
    drawn = [f'generator=torch.Generator("{device}").manual_seed({job.seed})']
    if job.generator == "numpy" and _takes_noise(job):
        drawn.append(f"latents=latents.to(pipe.device, torch.{job.dtype})")
    negative = {"negative_prompt": job.negative_prompt} if job.negative_prompt else {}
    numbers = {
        "num_inference_steps": job.steps,
        **({"guidance_scale": job.guidance} if takes_scale else {}),
        **{name: job.extras[name] for name in _EXTRAS if name in job.extras},
        **job.call,
        **job.schedule,
        **fixed_inputs(index.get("_class_name")),
    }
    known = image_pipeline(job)
    if known is None or known.takes_size or control_pipeline(job):
        numbers |= {"width": job.width, "height": job.height}
    return [
        _named({"prompt": job.prompt}),
        _named(negative),
        image_inputs(job),
        control_inputs(job),
        [*_named(numbers), *drawn],
    ]


def _named(values: Mapping[str, Any]) -> list[str]:
    return [f"{name}={_literal(value)}" for name, value in values.items()]


def _literal(value: object) -> str:
    """Return a value as Python writes it, in double quotes where that is as short."""
    text = repr(value)
    if isinstance(value, str) and text[0] == "'" and '"' not in value:
        return f'"{text[1:-1]}"'
    return text


def _call(begin: str, groups: Sequence[Sequence[str]], end: str) -> list[str]:
    """Return the lines of a call: one if it fits, else each group on lines of its own.

    Args:
        begin: What is called.
        groups: Its arguments.
        end: The closing bracket, and what follows it.
    """
    whole = f"{begin}({', '.join(each for group in groups for each in group)}{end}"
    if len(whole) <= COLUMNS:
        return [whole]
    return [f"{begin}(", *(line for group in groups for line in _filled(group)), end]


def _filled(arguments: Sequence[str]) -> Iterator[str]:
    """Yield lines with as many arguments as fit."""
    line = ""
    for each in arguments:
        longer = f"{line} {each}," if line else f"    {each},"
        if line and len(longer) > COLUMNS:
            yield line
            longer = f"    {each},"
        line = longer
    if line:
        yield line
