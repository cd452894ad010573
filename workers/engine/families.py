"""Facts and code for each pipeline class that the slots drive.

A slot is filled in the middle of the pipeline's loop and decoded alone. So the code of
`__call__` before and after its loop is repeated here, in a few lines for each class.
The contract tests compare it with the pipelines' own output.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np
import torch
from diffusers.pipelines.flux.pipeline_flux import calculate_shift

from storage.errors import JobError
from storage.job import Job

#: Embeddings of one text by the pipeline's name for them: (1, ...), on the device.
Texts = Mapping[str, torch.Tensor]


class StableDiffusion:
    """Stable Diffusion 1 and 2: a UNet, one text encoder."""

    #: Argument of `__call__` for each embedding, and its name within the loop; None if
    #: the loop reads the argument itself.
    embeddings: ClassVar[Mapping[str, str | None]] = {"prompt_embeds": "prompt_embeds"}
    #: Whether the pipeline passes eta to its scheduler.
    passes_eta: ClassVar[bool] = True
    #: Whether a scheduler's begin index is set to 0; otherwise the scheduler looks up
    #: the index of its first timestep.
    begins_at_zero: ClassVar[bool] = False

    #: The pipeline's attribute that holds the network.
    denoiser_name: ClassVar[str] = "unet"

    def __init__(self, pipe: Any) -> None:
        """Set the pipeline: loaded, of the family's class, on its device."""
        self.pipe = pipe
        self.device = pipe.device
        # Kept: diffusers walks through all modules for each of these.
        self.dtype = self.denoiser.dtype

    @property
    def denoiser(self) -> Any:
        """The network that is called at each step."""
        return getattr(self.pipe, self.denoiser_name)

    def is_guided(self, job: Job) -> bool:
        """Return whether the batch has unconditional rows beside the conditional ones.

        They are for classifier-free guidance (Ho and Salimans 2022).
        """
        return job.guidance > 1 and not job.model.embeds_guidance

    def encode(self, text: str, clip_skip: int) -> Texts:
        """Encode one text alone, skipping the last `clip_skip` layers."""
        embeds, _ = self.pipe.encode_prompt(
            text, self.device, 1, False, clip_skip=clip_skip or None
        )
        return {"prompt_embeds": embeds}

    def encode_nothing(self) -> Texts:
        """Encode the negative prompt of a job that has none."""
        return self.encode("", 0)

    def draw(self, job: Job, generator: torch.Generator) -> torch.Tensor:
        """Draw a job's first noise: (1, ...), in the network's dtype, on the device.

        It is not scaled: while slots run, `init_noise_sigma` of the pipeline's
        scheduler is 1. Noise of a CPU generator is copied from pinned memory, without
        waiting for the GPU.
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
        """Return the noise at the scale that the scheduler begins with."""
        scaled: torch.Tensor = noise * scheduler.init_noise_sigma
        return scaled

    def set_timesteps(self, scheduler: Any, job: Job) -> None:
        """Set a scheduler's timesteps for a job, on the device."""
        scheduler.set_timesteps(job.steps, device=self.device)
        if self.begins_at_zero and hasattr(scheduler, "set_begin_index"):
            scheduler.set_begin_index(0)

    @contextmanager
    def decoding(self) -> Iterator[None]:
        """Keep the VAE in `decode_dtype` within the block."""
        yield

    @property
    def decode_dtype(self) -> torch.dtype:
        """Dtype in which images are decoded: as loaded."""
        dtype: torch.dtype = self.pipe.vae.dtype
        return dtype

    def decode(self, latents: torch.Tensor, job: Job) -> torch.Tensor:
        """Decode one job's latents, (1, ...), to pixels.

        Returns:
            (1, 3, height, width), about -1 to 1, in `decode_dtype`, on the device.
        """
        pixels: torch.Tensor = self.pipe.vae.decode(
            self.unscale(latents, job), return_dict=False
        )[0]
        return pixels

    def unscale(self, latents: torch.Tensor, job: Job) -> torch.Tensor:
        """Return latents at the VAE's scale."""
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
        """Encode one text alone, with both encoders, skipping `clip_skip` layers."""
        embeds, _, pooled, _ = self.pipe.encode_prompt(
            prompt=text,
            device=self.device,
            do_classifier_free_guidance=False,
            clip_skip=clip_skip or None,
        )
        return {"prompt_embeds": embeds, "pooled_prompt_embeds": pooled}

    def encode_nothing(self) -> Texts:
        """Return zeros if the model's config asks for them, else an empty text."""
        empty = self.encode("", 0)
        if not self.pipe.config.force_zeros_for_empty_prompt:
            return empty
        return {name: torch.zeros_like(text) for name, text in empty.items()}

    @property
    def decode_dtype(self) -> torch.dtype:
        """Dtype in which images are decoded: float32 if float16 would overflow."""
        vae = self.pipe.vae
        if vae.dtype == torch.float16 and vae.config.force_upcast:
            return torch.float32
        return super().decode_dtype

    @contextmanager
    def decoding(self) -> Iterator[None]:
        """Keep the VAE in `decode_dtype` within the block."""
        own, wanted = self.pipe.vae.dtype, self.decode_dtype
        try:
            if wanted != own:
                self.pipe.vae.to(dtype=wanted)
            yield
        finally:
            if wanted != own:
                self.pipe.vae.to(dtype=own)

    def unscale(self, latents: torch.Tensor, job: Job) -> torch.Tensor:
        """Return latents at the VAE's scale, in its dtype."""
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
        """Encode one text alone, with all encoders, skipping `clip_skip` layers."""
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
        """Return the noise unchanged: flow matching begins with noise of scale 1."""
        del scheduler
        return noise

    def set_timesteps(self, scheduler: Any, job: Job) -> None:
        """Set a scheduler's timesteps for a job, on the device.

        With dynamic shifting, they depend on the image size (Esser et al. 2024), by the
        pipeline's `calculate_shift`.
        """
        moved = {}
        if scheduler.config.get("use_dynamic_shifting"):
            patch = self.pipe.vae_scale_factor * self.denoiser.config.patch_size
            tokens = (job.height // patch) * (job.width // patch)
            moved["mu"] = _shift(scheduler.config, tokens, highest=1.16)
        scheduler.set_timesteps(job.steps, device=self.device, **moved)

    @property
    def decode_dtype(self) -> torch.dtype:
        """Dtype in which images are decoded: as loaded."""
        dtype: torch.dtype = self.pipe.vae.dtype
        return dtype

    def unscale(self, latents: torch.Tensor, job: Job) -> torch.Tensor:
        """Return latents at the VAE's scale and shift."""
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
        """Return False: Flux has no unconditional rows."""
        del job
        return False

    def encode(self, text: str, clip_skip: int) -> Texts:
        """Encode one text alone, with both encoders.

        Raises:
            JobError: `clip_skip` is not 0, which the pipeline does not support.
        """
        if clip_skip:
            msg = "clip_skip must be neutral for FluxPipeline, which has no such input"
            raise JobError(msg)
        embeds, pooled, _ = self.pipe.encode_prompt(text, device=self.device)
        return {"prompt_embeds": embeds, "pooled_prompt_embeds": pooled}

    def set_timesteps(self, scheduler: Any, job: Job) -> None:
        """Set a scheduler's timesteps for a job, shifted by its image size."""
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
        """Return latents of (1, tokens, channels) unpacked, at the VAE's scale."""
        unpacked = self.pipe._unpack_latents(
            latents, job.height, job.width, self.pipe.vae_scale_factor
        )
        return super().unscale(unpacked, job)

    def _channels(self) -> int:
        return int(self.denoiser.config.in_channels) // 4


#: The family of each pipeline class of diffusers that the slots drive.
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
