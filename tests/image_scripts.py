"""Plain diffusers scripts that begin with an image, and the images themselves."""

import inspect
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import diffusers
import torch
from PIL import Image

from storage.files.inputs import InputFolder
from storage.job import Job
from storage.models.model_files import BUILTIN_FOLDERS
from tests.batches import DECODERS, TEXT_ENCODERS, Bench, Made, row_by_row
from workers.engine.loading import mend_clip_skip
from workers.engine.runs import Run
from workers.engine.starter import Starter


def make_image(number: int, size: tuple[int, int] = (64, 64)) -> Image.Image:
    """Make a picture without two equal rows or columns."""
    ramps = [
        Image.linear_gradient("L").rotate(90 * (number + turn)).resize(size)
        for turn in range(3)
    ]
    return Image.merge("RGB", ramps).rotate(7 * number, fillcolor=(200, 30, 90))


class ImageBench:
    """A text-to-image pipeline in the engine, and a sibling of it in a script.

    Attributes:
        bench: The engine's side.
        script: The sibling, loaded by itself.
    """

    def __init__(
        self, model: str, sibling: str, *, inputs: InputFolder, **given: Any
    ) -> None:
        """Load `builtin:shapes` or a folder.

        Args:
            model: The model.
            sibling: Class of the script's pipeline.
            inputs: Where input images are copied to.
            given: What the script loads besides.
        """
        self.bench = Bench(model)
        self._inputs = inputs
        starter = Starter(self.bench.pipe, self.bench.config, inputs=inputs)
        self.bench.starter = starter
        self.script: Any = getattr(diffusers, sibling).from_pretrained(
            BUILTIN_FOLDERS.get(model, model),
            dtype=torch.float32,
            use_safetensors=True,
            **given,
        )
        self.script.set_progress_bar_config(disable=True)
        mend_clip_skip(self.script)
        for name in (*TEXT_ENCODERS, *DECODERS):
            if part := getattr(self.script, name, None):
                row_by_row(part, "decode" if name in DECODERS else "forward")

    def begin_with(self, job: Job, image: Image.Image, **extras: Any) -> Job:
        """Return a job that begins with an image, of which a copy is kept."""
        digest = self._inputs.save(image)
        return replace(job, extras={**job.extras, "image": digest, **extras})

    def plain(self, job: Job, **given: Any) -> Made:
        """Make a job as a plain script does; `given` are the script's own inputs."""
        return self._call([job], prompt=job.prompt, **given)

    @torch.no_grad()
    def ordinary(self, run: Run, **given: Any) -> Made:
        """Make a run's job in its row of an ordinary batch of equal width.

        The other rows have other seeds; `given` has a value for each row.
        """
        rows = [replace(run.job, seed=100 + row) for row in range(run.width)]
        rows[run.row] = run.job
        made = self._call(rows, prompt=[job.prompt for job in rows], **given)
        return Made(pixels=made.pixels[run.row : run.row + 1])

    def _call(self, rows: Sequence[Job], **given: Any) -> Made:
        job, seeds = rows[0], [job.seed for job in rows]
        drawn = [torch.Generator().manual_seed(seed) for seed in seeds]
        own = dict(job.scheduler_options)
        if job.scheduler_class == "DPMSolverSDEScheduler":
            own["noise_sampler_seed"] = seeds if len(rows) > 1 else seeds[0]
        made_by = getattr(diffusers, job.scheduler_class)
        self.script.scheduler = made_by.from_config(self.bench.config, **own)
        given |= {n: v for n, v in (("eta", job.parameter("eta")),) if v}
        taken = inspect.signature(self.script.__call__).parameters
        size = {"width": job.width, "height": job.height}
        given |= {name: side for name, side in size.items() if name in taken}
        pixels = self.script(
            num_inference_steps=job.steps,
            guidance_scale=job.guidance,
            generator=drawn if len(rows) > 1 else drawn[0],
            output_type="np",
            return_dict=False,
            **given,
        )[0]
        return Made(pixels=torch.from_numpy(pixels).permute(0, 3, 1, 2))


def read_input(file: Path) -> Image.Image:
    """Read an image as a script does."""
    found: Image.Image = diffusers.utils.load_image(str(file))
    return found
