"""The first noise of jobs with `generator: numpy`, which every back end can make.

Pipelines draw their noise in `prepare_latents`, by `randn_tensor` of diffusers. In the
copy of the pipeline that paints such a job, that method calls another `randn_tensor`,
whose first draw is NumPy's. Nothing of diffusers changes for other jobs.
"""

from types import FunctionType, MethodType
from typing import Any

import torch
from diffusers.utils.torch_utils import randn_tensor

from storage.errors import JobError
from workers.noise import draw


class FirstNoise:
    """The noise of one job: NumPy's for the first draw, diffusers' for later ones."""

    def __init__(self, seed: int) -> None:
        """Draw nothing yet."""
        self._seed = seed
        self._is_drawn = False

    def give_to(self, pipe: Any) -> None:
        """Have the copy of a pipeline begin with this noise."""
        own = getattr(type(pipe), "prepare_latents", None)
        if isinstance(own, FunctionType):
            vars(pipe)["prepare_latents"] = MethodType(self._drawing(own), pipe)

    def require_drawn(self, pipe: Any) -> None:
        """Check that a pipeline has begun with this noise.

        Raises:
            JobError: It draws its noise in another way.
        """
        if not self._is_drawn:
            msg = (
                "`generator: numpy` needs a pipeline that draws its first noise in"
                f" `prepare_latents`, which {type(pipe).__name__} does not; use"
                " `generator: cpu`"
            )
            raise JobError(msg)

    def _drawing(self, method: FunctionType) -> FunctionType:
        """Return a copy of a method whose `randn_tensor` is `_draw`."""
        drawing = FunctionType(
            method.__code__,
            {**method.__globals__, "randn_tensor": self._draw},
            method.__name__,
            method.__defaults__,
            method.__closure__,
        )
        drawing.__kwdefaults__ = method.__kwdefaults__
        return drawing

    def _draw(
        self,
        shape: tuple[int, ...],
        generator: Any = None,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
        layout: torch.layout | None = None,
    ) -> torch.Tensor:
        """Draw noise of a shape; the arguments are those of `randn_tensor`."""
        if self._is_drawn:
            later: torch.Tensor = randn_tensor(shape, generator, device, dtype, layout)
            return later
        self._is_drawn = True
        drawn = draw(self._seed, shape)
        return torch.from_numpy(drawn).to(device=device, dtype=dtype)
