"""A compiled network has the same bits in each process."""

import os
import subprocess
import sys
from pathlib import Path

from tests.gpu.compiled_images import NAMES


def test_how_long_kernels_take_does_not_change_a_compiled_image(tmp_path: Path) -> None:
    """The compiler measures kernels anew in each process with a cache of its own."""
    printed = [
        subprocess.run(
            [sys.executable, "-m", "tests.gpu.compiled_images", "cuda:0"],
            env={
                **os.environ,
                "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / f"cache-{times}"),
                "TORCHINDUCTOR_DISTORT_BENCHMARKING_RESULT": times,
            },
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
        for times in ("", "inverse")  # the slowest kernel looks like the fastest
    ]
    assert len(printed[0]) == len(NAMES)
    assert printed[0] == printed[1]
