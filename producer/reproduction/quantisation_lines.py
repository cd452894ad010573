"""What a script quantises, as `workers.engine.quantisation` does."""

from collections.abc import Iterator

from storage.catalogue.quantisation import SCHEMES, Scheme, parse_quantisation
from storage.job import Job


def quantisation_imports(job: Job) -> Iterator[str]:
    """Yield the imports that a job's quantisation needs; none for most jobs."""
    schemes = parse_quantisation(job.parameter("quantize"))
    if not schemes:
        return
    yield "import diffusers"
    if any(map(_is_text_encoder, schemes)):
        yield "import transformers"
    classes = {name for each in schemes.values() for name in SCHEMES[each].classes}
    yield f"from torchao.quantization import {', '.join(sorted(classes))}"


def quantisation_arguments(job: Job) -> list[str]:
    """Return the argument of `from_pretrained` that quantises; none for most jobs."""
    schemes = parse_quantisation(job.parameter("quantize"))
    if not schemes:
        return []
    each = (_config(part, SCHEMES[name]) for part, name in schemes.items())
    mapping = f"{{{', '.join(each)}}}"
    config = f"diffusers.PipelineQuantizationConfig(quant_mapping={mapping})"
    return [f"quantization_config={config}"]


def _config(part: str, scheme: Scheme) -> str:
    name, *granularity = scheme.classes
    given = f"granularity={granularity[0]}()" if granularity else ""
    library = "transformers" if _is_text_encoder(part) else "diffusers"
    return f'"{part}": {library}.TorchAoConfig({name}({given}))'


def _is_text_encoder(part: str) -> bool:
    return part.startswith("text_encoder")
