"""What a script quantises, as `workers.engine.quantised_weights` does."""

from collections.abc import Iterator

from storage.catalogue.quantisation import SCHEMES, Scheme, parse_quantisation
from storage.job import Job

#: The variable of a script that has the configuration.
_NAME = "quantised"


def quantisation_imports(job: Job) -> Iterator[tuple[str, str]]:
    """Yield the (library, class) that the lines need; none for most jobs."""
    schemes = parse_quantisation(job.parameter("quantize"))
    if not schemes:
        return
    yield "diffusers", "PipelineQuantizationConfig"
    for part, name in schemes.items():
        if not _is_text_encoder(part):
            yield "diffusers", "TorchAoConfig"
        for each in SCHEMES[name].classes:
            yield "torchao.quantization", each


def needs_transformers(job: Job) -> bool:
    """Return whether the lines use the module transformers.

    Its `TorchAoConfig` has the name of that of diffusers.
    """
    return any(map(_is_text_encoder, parse_quantisation(job.parameter("quantize"))))


def quantisation_lines(job: Job) -> Iterator[str]:
    """Yield the lines that say how weights are quantised; none for most jobs."""
    schemes = parse_quantisation(job.parameter("quantize"))
    if schemes:
        yield f"{_NAME} = PipelineQuantizationConfig(quant_mapping={{"
        for part, name in schemes.items():
            yield f'    "{part}": {_config(part, SCHEMES[name])},'
        yield "})"


def quantisation_arguments(job: Job) -> list[str]:
    """Return the argument of `from_pretrained` that quantises; none for most jobs."""
    return [f"quantization_config={_NAME}"] if job.parameter("quantize") else []


def _config(part: str, scheme: Scheme) -> str:
    name, *granularity = scheme.classes
    given = f"granularity={granularity[0]}()" if granularity else ""
    library = "transformers." if _is_text_encoder(part) else ""
    return f"{library}TorchAoConfig({name}({given}))"


def _is_text_encoder(part: str) -> bool:
    return part.startswith("text_encoder")
