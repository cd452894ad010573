"""The program that says which GPUs torch can use, and the question to it.

It prints one line of JSON: `gpus`, a list of each one's `name` and `uuid`, or `reason`,
which says why there is none. It is a program so that nobody else imports torch to ask.
NVML would be faster, but does not know whether torch can use a GPU.

    python -P -m workers.devices.gpu_probe
"""

import json
import os
import sys
from dataclasses import asdict, dataclass

from storage.host.programs import ask_program


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """A GPU that torch can use.

    Attributes:
        name: Name of the product.
        uuid: Its unique id; empty where torch reports none.
    """

    name: str
    uuid: str = ""


def ask_torch() -> tuple[list[Gpu], str]:
    """Ask torch, in a process of its own, for the visible GPUs.

    Returns:
        The GPUs, and the reason if there are none.
    """
    answer = ask_program([sys.executable, "-P", "-m", "workers.devices.gpu_probe"])
    gpus = [Gpu(**each) for each in answer.get("gpus", ())]
    return gpus, answer.get("reason", "")


def _describe() -> dict[str, object]:
    # GPUs are counted as nvidia-smi counts them, here and in the workers.
    os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    import torch

    if torch.cuda.is_available():
        found = map(torch.cuda.get_device_properties, range(torch.cuda.device_count()))
        gpus = [Gpu(name=one.name, uuid=str(getattr(one, "uuid", ""))) for one in found]
        return {"gpus": [asdict(gpu) for gpu in gpus]}
    if torch.version.cuda is None:
        return {"reason": f"torch {torch.__version__} is built for CPUs only"}
    try:
        torch.cuda.init()  # type: ignore[no-untyped-call]
    except RuntimeError as exc:
        return {"reason": str(exc)}
    return {"reason": "torch finds no GPU"}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_describe()))
