"""Print the digests of four images by a compiled network, each of another scheduler.

python -m tests.gpu.compiled_images DEVICE
"""

import hashlib
import sys
import tempfile
from pathlib import Path

from tests.batches import make_various
from tests.work import Notes, paint
from workers.engine.torch_painter import TorchPainter

NAMES = ["ddim", "euler_a", "heun", "dpmpp_2m_karras"]


def digests(device: str) -> list[str]:
    """Return the digests of the images that a new painter makes."""
    with tempfile.TemporaryDirectory() as folder:
        painter = TorchPainter(
            device,
            threads=1,
            digests=Path(folder) / "digests.json",
            widths=Notes(len(NAMES)),
            compile_networks=True,
        )
        made = paint(painter, *make_various(NAMES, dtype="bfloat16"))
    return [hashlib.sha256(each.image.tobytes()).hexdigest() for each in made]


if __name__ == "__main__":
    sys.stdout.write(" ".join(digests(sys.argv[1])))
