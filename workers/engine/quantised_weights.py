"""How diffusers is told to quantise weights, or that those of a file are quantised.

torchao is imported here, and not at the top: only jobs that ask for it need it.
"""

from collections.abc import Iterator
from typing import Any

import diffusers
import torch
import transformers

from storage.catalogue.quantisation import SCHEMES, Scheme, parse_quantisation
from storage.errors import UnfitError
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


def require_gpu(job: Job, device: str) -> None:
    """Check that the device has the kernels that the schemes of a job need.

    torchao looks at the machine only, whatever device a worker paints on.

    Args:
        job: The job.
        device: `cpu`, or a GPU as torch names it.

    Raises:
        UnfitError: It lacks them.
    """
    for scheme in parse_quantisation(job.parameter("quantize")).values():
        wanted = SCHEMES[scheme].capability
        if wanted and _capability(device) < wanted:
            major, minor = wanted
            msg = (
                f"`quantize: {scheme}` needs a GPU of CUDA compute capability"
                f" {major}.{minor} or newer, but this worker paints on {device}; start"
                " a worker on such a GPU, or use int8 or fp8"
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


def _config(part: str, scheme: Scheme) -> Any:
    """Return the config of one component, of the library that loads it."""
    from torchao import quantization

    config, *granularity = (getattr(quantization, name) for name in scheme.classes)
    of_torchao = config(granularity=granularity[0]()) if granularity else config()
    library = transformers if part.startswith("text_encoder") else diffusers
    return library.TorchAoConfig(of_torchao)


def _capability(device: str) -> tuple[int, int]:
    """Return the compute capability of a device; 0.0 for a CPU."""
    if not device.startswith("cuda"):
        return (0, 0)
    return torch.cuda.get_device_capability(device)


def _shown(job: Job) -> str:
    text = job.parameter("quantize")
    return f"`quantize: {text}`" if text else job.model.name


def _names_of(job: Job) -> Iterator[str]:
    if job.parameter("quantize"):
        yield TORCHAO
    if is_gguf(job.model.name):
        yield "gguf"
