"""From texts and noise to pixels: three programs, each compiled for all devices.

The loop is that of diffusers' `FlaxStableDiffusionPipeline`, with three differences:

- It takes all timesteps. The pipeline takes as many as there are steps, and so leaves
  out the last one of PNDM.
- It does not round timesteps. The pipeline does, and Euler then finds no noise levels.
- Without guidance it calls the network with the prompt only, as torch's pipelines do.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, PartitionSpec

#: Name of the axis along which jobs are spread over devices.
AXIS = "jobs"
#: Each device has its own row of an argument, or all of it.
ROWS = PartitionSpec(AXIS)
EVERYWHERE = PartitionSpec()

Program = Callable[..., Any]


def encoder(text_encoder: Any) -> Program:
    """Return a program for texts.

    It takes parameters and token ids (jobs, texts, length), and returns embeddings
    (jobs, texts, length, channels).
    """

    def encode(params: Any, ids: jax.Array) -> Any:
        found = text_encoder(ids.reshape(-1, ids.shape[-1]), params=params)[0]
        return found.reshape(*ids.shape, -1)

    return encode


def denoiser(
    unet: Any, scheduler: Any, state: Any, *, steps: int, guided: bool
) -> Program:
    """Return a program for latents.

    Args:
        unet: The network.
        scheduler: A scheduler of diffusers for Flax.
        state: Its state, as `create_state` returns it.
        steps: Steps that the user asked for.
        guided: Whether the network is called with the negative prompt too.

    Returns:
        A function of parameters; embeddings of the prompt and the negative prompt of
        each job, (jobs, 2, length, channels); noise, (jobs, channels, height, width);
        and guidance, (jobs,). It returns latents like the noise, both float32, and how
        often the network was called, (jobs,).
    """

    def denoise(
        params: Any,
        texts: jax.Array,
        noise: jax.Array,
        guidance: jax.Array,
    ) -> Any:
        prompt, negative = texts[:, 0], texts[:, 1]
        context = jnp.concatenate([negative, prompt]) if guided else prompt
        scale = guidance[:, None, None, None]

        def take_step(index: Any, carried: tuple[Any, Any]) -> tuple[Any, Any]:
            latents, state = carried
            timestep = state.timesteps[index]
            rows = jnp.concatenate([latents, latents]) if guided else latents
            rows = scheduler.scale_model_input(state, rows, timestep)
            answer = unet.apply(
                {"params": params},
                rows,
                jnp.broadcast_to(timestep, rows.shape[:1]),
                encoder_hidden_states=context,
            ).sample.astype(jnp.float32)
            if guided:
                without, answer = jnp.split(answer, 2)
                answer = without + scale * (answer - without)
            latents, state = scheduler.step(
                state, answer, timestep, latents, return_dict=False
            )
            return latents, state

        begun = scheduler.set_timesteps(
            state, num_inference_steps=steps, shape=noise.shape
        )
        count = len(begun.timesteps)
        carried = noise * begun.init_noise_sigma, begun
        latents, _ = jax.lax.fori_loop(0, count, take_step, carried)
        return latents, jnp.full(noise.shape[:1], count)

    return denoise


def decoder(vae: Any) -> Program:
    """Return a program for pixels.

    It takes parameters and latents (jobs, channels, height, width). It returns pixels
    (jobs, height, width, 3), 0 to 1, and whether all were finite (jobs,).
    """

    def decode(params: Any, latents: jax.Array) -> tuple[Any, Any]:
        # Flax's decoder moves the channels to the end unless the width equals their
        # number, which may be by chance.
        rows = jnp.transpose(latents, (0, 2, 3, 1)) / vae.config.scaling_factor
        sample = vae.apply({"params": params}, rows, method=vae.decode).sample
        pixels = jnp.transpose(sample.astype(jnp.float32) / 2 + 0.5, (0, 2, 3, 1))
        is_finite = jnp.isfinite(pixels).all(axis=(1, 2, 3))
        return pixels.clip(0, 1), is_finite

    return decode


def spread(program: Program, mesh: Mesh) -> Any:
    """Return a program that every device runs on its own rows.

    Args:
        program: Its first argument, the parameters, is whole on every device.
        mesh: The devices.
    """

    def run(params: Any, *rows: Any) -> Any:
        on_rows = jax.shard_map(
            program,
            mesh=mesh,
            in_specs=(EVERYWHERE, *(ROWS for _ in rows)),
            out_specs=ROWS,
            check_vma=False,  # loops over states that begin equal everywhere
        )
        return on_rows(params, *rows)

    return jax.jit(run)
