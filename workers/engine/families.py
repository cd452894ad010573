"""What the slots must know of a pipeline's class, and cannot ask the pipeline.

Four families are driven by the slots. What their `__call__` does before and after its
loop stands here once more, in a few lines each, because a slot is filled in mid-loop
and decoded alone. The contract tests hold it to the pipelines' own output.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np
import torch
from diffusers.pipelines.flux.pipeline_flux import calculate_shift

from storage.errors import JobError
from storage.job import Job

#: Embeddings of one text by the pipeline's name for them, each of (1, ...).
Texts = Mapping[str, torch.Tensor]


class StableDiffusion:
    """Stable Diffusion 1 and 2: a UNet, one text encoder."""

    #: Embedding, as `__call__` takes it, to its name within the loop; None where the
    #: loop reads the tensor that was given.
    embeddings: ClassVar[Mapping[str, str | None]] = {"prompt_embeds": "prompt_embeds"}
    #: Whether the pipeline passes eta to its scheduler.
    passes_eta: ClassVar[bool] = True
    #: Whether schedulers are told to begin at index 0, rather than to look for it.
    begins_at_zero: ClassVar[bool] = False

    #: The pipeline's attribute that is called at each step.
    denoiser_name: ClassVar[str] = "unet"

    def __init__(self, pipe: Any) -> None:
        """Take a loaded pipeline of the family's class."""
        self.pipe = pipe
        self.device = pipe.device
        # Kept, since diffusers walks through all modules to tell them.
        self.dtype = self.denoiser.dtype

    @property
    def denoiser(self) -> Any:
        """The network that is called at each step."""
        return getattr(self.pipe, self.denoiser_name)

    def is_guided(self, job: Job) -> bool:
        """Tell whether rows without the prompt run beside those with it."""
        return job.guidance > 1 and not job.model.embeds_guidance

    def encode(self, text: str, clip_skip: int) -> Texts:
        """Encode one text alone."""
        embeds, _ = self.pipe.encode_prompt(
            text, self.device, 1, False, clip_skip=clip_skip or None
        )
        return {"prompt_embeds": embeds}

    def encode_nothing(self) -> Texts:
        """Encode the negative prompt of a job that has none."""
        return self.encode("", 0)

    def draw(self, job: Job, generator: torch.Generator) -> torch.Tensor:
        """Draw the noise that a job begins with: (1, ...), on the device.

        It is not scaled: while slots run, the pipeline's scheduler is one whose
        `init_noise_sigma` is 1. Noise of a CPU generator crosses by pinned memory, so
        that the GPU is not waited for.
        """
        noise: Any = self.pipe.prepare_latents(
            1,
            self._channels(),
            job.height,
            job.width,
            self.dtype,
            generator.device,
            generator,
        )
        noise = noise[0] if isinstance(noise, tuple) else noise
        if noise.device != self.device and self.device.type == "cuda":
            noise = noise.pin_memory()
        moved: torch.Tensor = noise.to(self.device, non_blocking=True)
        return moved

    def begin(self, noise: torch.Tensor, scheduler: Any) -> torch.Tensor:
        """Scale noise to what the scheduler begins with; the same shape."""
        scaled: torch.Tensor = noise * scheduler.init_noise_sigma
        return scaled

    def set_timesteps(self, scheduler: Any, job: Job) -> None:
        """Prepare a scheduler for a job, on the device."""
        scheduler.set_timesteps(job.steps, device=self.device)
        if self.begins_at_zero and hasattr(scheduler, "set_begin_index"):
            scheduler.set_begin_index(0)

    @contextmanager
    def decoding(self) -> Iterator[None]:
        """Hold the decoder in the precision that it decodes in."""
        yield

    @property
    def decode_dtype(self) -> torch.dtype:
        """Precision in which images are decoded."""
        dtype: torch.dtype = self.pipe.vae.dtype
        return dtype

    def decode(self, latents: torch.Tensor, job: Job) -> torch.Tensor:
        """Decode one job's latents: (1, 3, height, width), about -1 to 1."""
        pixels: torch.Tensor = self.pipe.vae.decode(
            self.unscale(latents, job), return_dict=False
        )[0]
        return pixels

    def unscale(self, latents: torch.Tensor, job: Job) -> torch.Tensor:
        """Bring latents to the scale of the decoder."""
        del job
        scaled: torch.Tensor = latents / self.pipe.vae.config.scaling_factor
        return scaled

    def _channels(self) -> int:
        return int(self.denoiser.config.in_channels)


class StableDiffusionXL(StableDiffusion):
    """Stable Diffusion XL: a UNet, two text encoders, a VAE that may overflow."""

    embeddings: ClassVar[Mapping[str, str | None]] = {
        "prompt_embeds": "prompt_embeds",
        "pooled_prompt_embeds": "add_text_embeds",
    }
    begins_at_zero = True

    def encode(self, text: str, clip_skip: int) -> Texts:
        """Encode one text alone, with both encoders."""
        embeds, _, pooled, _ = self.pipe.encode_prompt(
            prompt=text,
            device=self.device,
            do_classifier_free_guidance=False,
            clip_skip=clip_skip or None,
        )
        return {"prompt_embeds": embeds, "pooled_prompt_embeds": pooled}

    def encode_nothing(self) -> Texts:
        """Return zeros where the model wants them, else an encoded empty text."""
        empty = self.encode("", 0)
        if not self.pipe.config.force_zeros_for_empty_prompt:
            return empty
        return {name: torch.zeros_like(text) for name, text in empty.items()}

    @property
    def decode_dtype(self) -> torch.dtype:
        """Precision in which images are decoded: float32 where float16 overflows."""
        vae = self.pipe.vae
        if vae.dtype == torch.float16 and vae.config.force_upcast:
            return torch.float32
        return super().decode_dtype

    @contextmanager
    def decoding(self) -> Iterator[None]:
        """Hold the VAE in the precision that it decodes in."""
        own, wanted = self.pipe.vae.dtype, self.decode_dtype
        try:
            if wanted != own:
                self.pipe.vae.to(dtype=wanted)
            yield
        finally:
            if wanted != own:
                self.pipe.vae.to(dtype=own)

    def unscale(self, latents: torch.Tensor, job: Job) -> torch.Tensor:
        """Bring latents to the scale and precision of the decoder."""
        del job
        vae = self.pipe.vae
        latents = latents.to(vae.dtype)
        mean, std = (getattr(vae.config, f"latents_{n}", None) for n in ("mean", "std"))
        if mean is None or std is None:
            scaled: torch.Tensor = latents / vae.config.scaling_factor
            return scaled
        mean, std = (
            torch.tensor(numbers).view(1, -1, 1, 1).to(latents.device, latents.dtype)
            for numbers in (mean, std)
        )
        moved: torch.Tensor = latents * std / vae.config.scaling_factor + mean
        return moved


class StableDiffusion3(StableDiffusionXL):
    """Stable Diffusion 3: a transformer, three text encoders, flow matching."""

    embeddings: ClassVar[Mapping[str, str | None]] = {
        "prompt_embeds": "prompt_embeds",
        "pooled_prompt_embeds": "pooled_prompt_embeds",
    }
    denoiser_name = "transformer"
    passes_eta = False
    begins_at_zero = False

    def encode(self, text: str, clip_skip: int) -> Texts:
        """Encode one text alone, with all encoders."""
        embeds, _, pooled, _ = self.pipe.encode_prompt(
            text,
            None,
            None,
            device=self.device,
            do_classifier_free_guidance=False,
            clip_skip=clip_skip or None,
        )
        return {"prompt_embeds": embeds, "pooled_prompt_embeds": pooled}

    def encode_nothing(self) -> Texts:
        """Encode an empty text."""
        return self.encode("", 0)

    def begin(self, noise: torch.Tensor, scheduler: Any) -> torch.Tensor:
        """Leave the noise as it is."""
        del scheduler
        return noise

    def set_timesteps(self, scheduler: Any, job: Job) -> None:
        """Prepare a scheduler for a job, shifted by its size where it asks for it."""
        moved = {}
        if scheduler.config.get("use_dynamic_shifting"):
            patch = self.pipe.vae_scale_factor * self.denoiser.config.patch_size
            tokens = (job.height // patch) * (job.width // patch)
            moved["mu"] = _shift(scheduler.config, tokens, highest=1.16)
        scheduler.set_timesteps(job.steps, device=self.device, **moved)

    @property
    def decode_dtype(self) -> torch.dtype:
        """Precision in which images are decoded: as loaded."""
        dtype: torch.dtype = self.pipe.vae.dtype
        return dtype

    def unscale(self, latents: torch.Tensor, job: Job) -> torch.Tensor:
        """Bring latents to the scale of the decoder."""
        del job
        config = self.pipe.vae.config
        moved: torch.Tensor = (latents / config.scaling_factor) + config.shift_factor
        return moved


class Flux(StableDiffusion3):
    """Flux: a transformer over packed latents, guidance as an input or none at all."""

    embeddings: ClassVar[Mapping[str, str | None]] = {
        "prompt_embeds": "prompt_embeds",
        "pooled_prompt_embeds": None,
    }

    def is_guided(self, job: Job) -> bool:
        """Flux never runs rows without the prompt."""
        del job
        return False

    def encode(self, text: str, clip_skip: int) -> Texts:
        """Encode one text alone, with both encoders.

        Raises:
            JobError: A layer is to be skipped; the pipeline cannot.
        """
        if clip_skip:
            msg = "clip_skip must be neutral for FluxPipeline, which has no such input"
            raise JobError(msg)
        embeds, pooled, _ = self.pipe.encode_prompt(text, device=self.device)
        return {"prompt_embeds": embeds, "pooled_prompt_embeds": pooled}

    def set_timesteps(self, scheduler: Any, job: Job) -> None:
        """Prepare a scheduler for a job, shifted by its size."""
        patch = self.pipe.vae_scale_factor * 2
        tokens = (job.height // patch) * (job.width // patch)
        steps: dict[str, Any] = {"mu": _shift(scheduler.config, tokens, highest=1.15)}
        if scheduler.config.get("use_flow_sigmas"):
            steps["num_inference_steps"] = job.steps
        else:
            steps["sigmas"] = np.linspace(1.0, 1 / job.steps, job.steps)
        scheduler.set_timesteps(device=self.device, **steps)
        scheduler.set_begin_index(0)

    def unscale(self, latents: torch.Tensor, job: Job) -> torch.Tensor:
        """Unpack latents of (1, tokens, channels), and scale them."""
        unpacked = self.pipe._unpack_latents(
            latents, job.height, job.width, self.pipe.vae_scale_factor
        )
        return super().unscale(unpacked, job)

    def _channels(self) -> int:
        return int(self.denoiser.config.in_channels) // 4


#: Pipelines that the slots drive, by the name of their class in diffusers.
BATCHED: Mapping[str, type[StableDiffusion]] = {
    "StableDiffusionPipeline": StableDiffusion,
    "StableDiffusionXLPipeline": StableDiffusionXL,
    "StableDiffusion3Pipeline": StableDiffusion3,
    "FluxPipeline": Flux,
}


def _shift(config: Any, tokens: int, *, highest: float) -> float:
    return float(
        calculate_shift(
            tokens,
            config.get("base_image_seq_len", 256),
            config.get("max_image_seq_len", 4096),
            config.get("base_shift", 0.5),
            config.get("max_shift", highest),
        )
    )
