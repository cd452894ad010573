"""How diffusers is told to quantise weights, or that those of a file are quantised.

torchao is imported here, and not at the top: only jobs that ask for it need it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import diffusers
import transformers

from storage.catalogue.quantisation import SCHEMES, Scheme, parse_quantisation
from storage.errors import UnfitError, in_words
from storage.job import Job
from storage.models.checkpoint_names import is_gguf
from workers.devices.host_facts import version_of

TORCHAO = "torchao"


def packages_of(job: Job) -> dict[str, str]:
    """Return the packages that read a job's weights, each with its version here.

    They can change a picture, so results record them, for such jobs alone.
    """
    return {name: version_of(name) for name in _names_of(job)}


def require_packages(job: Job) -> None:
    """Check that the packages are here.

    Raises:
        UnfitError: One is missing.
    """
    for name, version in packages_of(job).items():
        if not version:
            asked = _shown(job)
            msg = (
                f"this worker needs the package {name} for {asked}, and does not have"
                " it; install it with `pip install 'nightsweep[quantize]'`"
            )
            raise UnfitError(msg)


def quantising(text: str) -> dict[str, Any]:
    """Return the argument of `from_pretrained` that quantises; none for an empty text.

    Args:
        text: As `storage.catalogue.quantisation` has it.
    """
    if not text:
        return {}
    mapping = {
        part: _config(part, SCHEMES[scheme])
        for part, scheme in parse_quantisation(text).items()
    }
    config = diffusers.PipelineQuantizationConfig(quant_mapping=mapping)
    return {"quantization_config": config}


def of_gguf(file: str, dtype: Any) -> dict[str, Any]:
    """Return the argument of `from_single_file` for a GGUF file; none for others."""
    if not is_gguf(file):
        return {}
    config = diffusers.GGUFQuantizationConfig(compute_dtype=dtype)
    return {"quantization_config": config}


@contextmanager
def blaming_device(text: str) -> Iterator[None]:
    """Translate what torchao says of a device that lacks a scheme's kernels.

    Raises:
        UnfitError: The device lacks them.
    """
    try:
        yield
    except (AssertionError, NotImplementedError) as exc:
        needs = [SCHEMES[each].needs for each in parse_quantisation(text).values()]
        wanted = next(filter(None, needs), "another device")
        msg = (
            f"`quantize: {text}` needs {wanted}, but this worker's device refuses it"
            f" ({in_words(exc)}); start a worker on such a device, or use int8 or fp8"
        )
        raise UnfitError(msg) from exc


def _config(part: str, scheme: Scheme) -> Any:
    """Return the config of one component, of the library that loads it."""
    from torchao import quantization

    config, *granularity = (getattr(quantization, name) for name in scheme.classes)
    of_torchao = config(granularity=granularity[0]()) if granularity else config()
    library = transformers if part.startswith("text_encoder") else diffusers
    return library.TorchAoConfig(of_torchao)


def _shown(job: Job) -> str:
    text = job.parameter("quantize")
    return f"`quantize: {text}`" if text else job.model.name


def _names_of(job: Job) -> Iterator[str]:
    if job.parameter("quantize"):
        yield TORCHAO
    if is_gguf(job.model.name):
        yield "gguf"
