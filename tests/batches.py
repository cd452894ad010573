"""Mixed batches, diffusers' ordinary batches and plain scripts, for comparison."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import diffusers
import torch

from producer.models.cards import ModelCard, describe
from storage.catalogue import schedulers
from storage.job import Job
from storage.models.model_files import BUILTIN_FOLDERS
from tests.work import Basket, go_on
from workers.engine.clock import Clock
from workers.engine.decoding import Decoded, decode
from workers.engine.families import BATCHED, Texts
from workers.engine.loading import mend_clip_skip
from workers.engine.pipelines import DTYPES
from workers.engine.slot import Slot, Starter
from workers.engine.slots import Slots, Source, Tally
from workers.engine.texts import TextCache

PROMPTS = ("a cat", "two dogs", "a green square", "red", "a blue circle")
#: First those that float16 and bfloat16 cannot hold exactly.
GUIDANCES = (7.3, 2.3, 1.7, 4.0, 11.9)


@cache
def card_of(name: str) -> ModelCard:
    """Describe a model: `builtin:shapes` or a folder."""
    return describe(name, base_dir=Path())


def make_job(
    name: str = "ddim", *, model: str = "builtin:shapes", **changes: Any
) -> Job:
    """Make a job of 64 by 64 pixels with a scheduler of the catalogue."""
    asked, card = schedulers.resolve(name), card_of(model)
    options = schedulers.effective_options(asked, card.scheduler_config)
    extras = {**asked.extras, **changes.pop("extras", {})}
    return replace(
        Job(
            model=card.model,
            dtype="float32",
            width=64,
            height=64,
            prompt=PROMPTS[0],
            seed=8,
            scheduler_class=asked.class_name,
            scheduler_options=options,
            steps=4,
            guidance=2.3,
            extras=extras,
        ),
        **changes,
    )


def make_various(names: Iterable[str], **changes: Any) -> list[Job]:
    """Make a job for each scheduler, with varying prompt, seed, steps and guidance."""
    return [
        make_job(
            name,
            prompt=PROMPTS[place % len(PROMPTS)],
            seed=place,
            steps=4 + place % 3,
            guidance=GUIDANCES[place // 2 % len(GUIDANCES)],
            **changes,
        )
        for place, name in enumerate(names)
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """The result of a job, on the CPU.

    Attributes:
        latents: After the last step, (1, ...).
        pixels: (1, 3, height, width), 0 to 1.
        slot: The slot that made it; None if it was made without slots.
    """

    latents: torch.Tensor
    pixels: torch.Tensor
    slot: Slot | None = None

    def equals(self, other: "Made") -> bool:
        """Return whether both are equal bit for bit; all numbers must be finite."""
        assert self.latents.isfinite().all()
        assert self.pixels.isfinite().all()
        return torch.equal(self.latents, other.latents) and torch.equal(
            self.pixels, other.pixels
        )


class Bench:
    """A loaded pipeline, and three ways to make its images."""

    def __init__(self, model: str, *, dtype: str = "float32", device: str = "cpu"):
        """Load `builtin:shapes` or a folder."""
        self.pipe: Any = diffusers.DiffusionPipeline.from_pretrained(
            BUILTIN_FOLDERS.get(model, model),
            dtype=DTYPES[dtype],
            use_safetensors=True,
        ).to(device)
        self.pipe.set_progress_bar_config(disable=True)
        mend_clip_skip(self.pipe)  # without it, no script can use clip_skip
        # Otherwise an ordinary batch decodes all images at once, in other low bits.
        self.pipe.vae.enable_slicing()
        self.config = dict(self.pipe.scheduler.config)
        self.family = BATCHED[type(self.pipe).__name__](self.pipe)
        self.starter = Starter(self.family, self.config)
        self.clock = Clock(device)
        self.tally = Tally()

    def slots(
        self,
        jobs: Sequence[Job],
        source: Source,
        width: int,
        finish: Callable[[Slot, torch.Tensor], None],
    ) -> Slots:
        """Make a batch of slots for these jobs and the further jobs of the source."""
        return Slots(
            self.starter, jobs, source, width=width, finish=finish, tally=self.tally
        )

    def mixed(
        self, jobs: Iterable[Job], width: int, *, check: Callable[[], None] = go_on
    ) -> tuple[dict[str, Made], Basket]:
        """Make jobs in a mixed batch; return the results by key, and the source."""
        done: list[tuple[Slot, torch.Tensor, Decoded]] = []

        def finish(slot: Slot, latents: torch.Tensor) -> None:
            decoded = decode(self.family, latents, slot.job, clock=self.clock)
            done.append((slot, latents, decoded))
            basket.in_hand.remove(slot.job)

        basket = Basket(*jobs, check=check)
        with torch.no_grad(), self.family.decoding():
            self.slots(basket.gather(width), basket, width, finish).run()
        assert not basket.waiting
        assert not basket.in_hand
        for *_, decoded in done:
            self.clock.wait(decoded.arrived)
        made = {
            slot.job.key: Made(latents=latents.cpu(), pixels=decoded.pixels, slot=slot)
            for slot, latents, decoded in done
        }
        return made, basket

    @torch.no_grad()
    def ordinary(self, slot: Slot) -> Made:
        """Make a slot's job in an ordinary batch of equal width, in the same row.

        All rows have the job's scheduler, steps and guidance, but prompts and seeds of
        their own.
        """
        rows = [
            replace(slot.job, prompt=PROMPTS[row % len(PROMPTS)], seed=100 + row)
            for row in range(slot.width)
        ]
        rows[slot.index] = slot.job
        made = self._call(
            slot.job,
            seeds=[job.seed for job in rows],
            generator=[self._generator(job) for job in rows],
            **self._texts(rows),
        )
        row = slice(slot.index, slot.index + 1)
        return Made(latents=made.latents[row], pixels=made.pixels[row])

    def plain(self, job: Job) -> Made:
        """Make a job as a plain script does."""
        return self._call(
            job,
            seeds=job.seed,
            prompt=job.prompt,
            **_if_any(negative_prompt=job.negative_prompt),
            generator=self._generator(job),
        )

    def _texts(self, rows: list[Job]) -> dict[str, Any]:
        is_pooled = "pooled_prompt_embeds" in self.family.embeddings
        if not is_pooled and self.pipe.device.type == "cpu":
            negatives = [job.negative_prompt for job in rows]
            prompts = [job.prompt for job in rows]
            return {"prompt": prompts, **_if_any(negative_prompt=negatives)}
        # Texts that are encoded together would have other low bits.
        texts = TextCache(self.family)
        given = _stack([texts.prompt(job) for job in rows])
        if self.family.is_guided(rows[0]):
            negative = _stack([texts.negative(job) for job in rows])
            given |= {f"negative_{name}": text for name, text in negative.items()}
        return given

    def _call(self, job: Job, *, seeds: int | list[int], **given: Any) -> Made:
        last: list[torch.Tensor] = []

        def look(_pipe: Any, _step: int, _time: Any, tensors: Any) -> Any:
            last[:] = [tensors["latents"].clone()]
            return tensors

        own = dict(job.scheduler_options)
        if job.scheduler_class == "DPMSolverSDEScheduler":
            own["noise_sampler_seed"] = seeds
        made_by = getattr(diffusers, job.scheduler_class)
        self.pipe.scheduler = made_by.from_config(self.config, **own)
        pixels = self.pipe(
            num_inference_steps=job.steps,
            guidance_scale=job.guidance,
            width=job.width,
            height=job.height,
            **_if_any(eta=job.parameter("eta"), clip_skip=job.parameter("clip_skip")),
            callback_on_step_end=look,
            output_type="pt",
            **given,
        ).images
        return Made(latents=last[0].cpu(), pixels=pixels.cpu())

    def _generator(self, job: Job) -> torch.Generator:
        device = "cpu" if job.generator == "cpu" else self.pipe.device
        return torch.Generator(device).manual_seed(job.seed)


def _stack(rows: Sequence[Texts]) -> dict[str, torch.Tensor]:
    return {name: torch.cat([row[name] for row in rows]) for name in rows[0]}


def _if_any(**given: Any) -> dict[str, Any]:
    """Return the arguments without neutral values, as a plain script has them."""

    def is_set(value: Any) -> bool:
        return any(value) if isinstance(value, list) else bool(value)

    return {name: value for name, value in given.items() if is_set(value)}
