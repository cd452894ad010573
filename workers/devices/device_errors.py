"""The errors of a device, translated at one boundary."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from storage.errors import DeviceError, UnfitError

#: Words of CUDA's libraries, and of torch's allocator on a CPU, for too little memory.
SHORTAGES = ("out of memory", "can't allocate memory", "_alloc_failed")
#: Words of errors after which all later calls of the process may fail too: those of
#: CUDA's libraries (torch has an error class for CUDA itself only), and that of oneDNN
#: on a CPU, after memory was too short for one of its kernels.
SPOILT = (
    "cuda error:",
    "cublas_status_",
    "cudnn error",
    "cudnn_status_",
    "cufft error",
    "cusolver error",
    "could not create a primitive",
)


@contextmanager
def device_errors(what: str) -> Iterator[None]:
    """Translate errors of the device, a GPU or the CPU.

    Args:
        what: What may not fit into memory, for the message.

    Raises:
        UnfitError: Memory ran out.
        DeviceError: This process can no longer use the device.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as exc:
        if is_shortage(exc):
            msg = (
                f"{what} must fit into this device's memory, but does not: {exc}; use "
                "a device with more memory"
            )
            raise UnfitError(msg) from exc
        if isinstance(exc, torch.AcceleratorError) or _says(exc, SPOILT):
            msg = f"the device must answer, but says: {exc}; the worker starts again"
            raise DeviceError(msg) from exc
        raise


def is_shortage(error: Exception) -> bool:
    """Return whether an error says that memory ran out."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return _says(error, SHORTAGES)


def _says(error: Exception, any_of: Sequence[str]) -> bool:
    said = str(error).lower()
    return any(words in said for words in any_of)
