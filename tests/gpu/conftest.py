"""GPU tests run where torch sees a CUDA device, and are skipped elsewhere."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest
import torch

#: Bytes that are too few for any large image, on any card.
LITTLE = 64_000_000


@contextmanager
def _limited(size_bytes: int) -> Iterator[None]:
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(min(size_bytes / total, 1.0))
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


@pytest.fixture
def limited() -> Callable[[int], AbstractContextManager[None]]:
    """Give what lets this process have only so many bytes of the GPU."""
    return _limited


@pytest.fixture
def little() -> Callable[[], AbstractContextManager[None]]:
    """Give what lets this process have only a little more of the GPU than it has."""

    def limit() -> AbstractContextManager[None]:
        torch.cuda.empty_cache()
        return _limited(torch.cuda.memory_reserved() + LITTLE)

    return limit


def watch_waits(mode: str) -> None:
    """Say what is to happen when something waits for the GPU: `error` or `default`.

    torch warns once that this is not complete.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.cuda.set_sync_debug_mode(mode)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/gpu" in item.path.as_posix():
            item.add_marker(pytest.mark.gpu)
            if not torch.cuda.is_available():
                item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))
