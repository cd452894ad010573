"""The compiled programs of one model: one for each kind of call, on all devices."""

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding

from storage.catalogue.backends import refuse_input
from storage.catalogue.pipeline_families import NO_GUIDANCE
from storage.errors import JobError
from storage.job import Job, canonical_json
from workers.flax import flax_schedulers, sampling
from workers.flax.network_loading import Networks
from workers.noise import draw
from workers.vitals import phases

#: Most denoising programs that are kept; on a TPU, each takes some of its memory.
MOST = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Painted:
    """The jobs of one call, painted.

    Attributes:
        pixels: (jobs, height, width, 3), float32, 0 to 1.
        is_finite: Whether all pixels of a job were finite before they were clamped.
        compile_s: Seconds to compile; 0 if all programs were there.
        encode_s: Seconds for the texts.
        denoise_s: Seconds for the network and the scheduler.
        decode_s: Seconds from latents to pixels.
        evaluations: Calls of the UNet.
        peak_bytes: Most memory of a device in use so far; None on a CPU.
    """

    pixels: np.ndarray[Any, Any]
    is_finite: np.ndarray[Any, Any]
    compile_s: float
    encode_s: float
    denoise_s: float
    decode_s: float
    evaluations: int
    peak_bytes: int | None


def kind_of(job: Job) -> Hashable:
    """Return what must be equal for jobs of one call: all that is compiled in."""
    return (
        job.scheduler_class,
        canonical_json(job.scheduler_options),
        job.steps,
        job.guidance > NO_GUIDANCE,
        (job.width, job.height),
        canonical_json(_unknown(job)),
    )


class Programs:
    """Runs the networks of one model on all devices, one job on each at a time.

    A program is kept with the scheduler that it was compiled for, never with a
    scheduler that is changed later: JAX would return the earlier result.
    """

    def __init__(self, networks: Networks, devices: Sequence[Any]) -> None:
        """Put the parameters on the devices."""
        self.networks = networks
        self.width = len(devices)
        self._mesh = Mesh(np.array(devices), (sampling.AXIS,))
        self._rows = NamedSharding(self._mesh, sampling.ROWS)
        everywhere = NamedSharding(self._mesh, sampling.EVERYWHERE)
        self._parameters = jax.device_put(dict(networks.parameters), everywhere)
        self._compiled: OrderedDict[Hashable, Any] = OrderedDict()
        self._compile_s = 0.0

    def paint(self, jobs: Sequence[Job]) -> Painted:
        """Paint jobs of one kind, up to one for each device.

        Raises:
            JobError: Flax does not have their scheduler, or another parameter.
        """
        job, networks = jobs[0], self.networks
        _require_neutral(job)
        shape = networks.latents_shape(job.width, job.height)
        self._compile_s = 0.0
        texts, encode_s = self._encode(jobs)
        (latents, evaluations), denoise_s = self._run(
            kind_of(job),
            lambda: self._denoiser(job),
            "unet",
            texts,
            self._on_devices([draw(job.seed, shape)[0] for job in jobs]),
            self._on_devices([np.float32(job.guidance) for job in jobs]),
        )
        (pixels, is_finite), decode_s = self._run(
            ("decode", shape), lambda: sampling.decoder(networks.vae), "vae", latents
        )
        memory = self._mesh.devices.flat[0].memory_stats() or {}
        return Painted(
            pixels=np.asarray(pixels)[: len(jobs)],
            is_finite=np.asarray(is_finite)[: len(jobs)],
            compile_s=self._compile_s,
            encode_s=encode_s,
            denoise_s=denoise_s,
            decode_s=decode_s,
            evaluations=int(evaluations[0]),
            peak_bytes=memory.get("peak_bytes_in_use"),
        )

    def _encode(self, jobs: Sequence[Job]) -> tuple[Any, float]:
        ids = [
            self.networks.token_ids([job.prompt, job.negative_prompt]) for job in jobs
        ]
        return self._run(
            "encode",
            lambda: sampling.encoder(self.networks.text_encoder),
            "text_encoder",
            self._on_devices(ids),
        )

    def _denoiser(self, job: Job) -> sampling.Program:
        scheduler, state = flax_schedulers.build(
            job.scheduler_class,
            job.scheduler_options,
            config=self.networks.scheduler_config,
        )
        return sampling.denoiser(
            self.networks.unet,
            scheduler,
            state,
            steps=job.steps,
            guided=job.guidance > NO_GUIDANCE,
        )

    def _on_devices(self, rows: list[Any]) -> Any:
        """Return rows with one on each device; devices left over repeat the first."""
        filled = rows + rows[:1] * (self.width - len(rows))
        return jax.device_put(np.stack(filled), self._rows)

    def _run(
        self,
        kind: Hashable,
        make: Callable[[], sampling.Program],
        network: str,
        *rows: Any,
    ) -> tuple[Any, float]:
        """Run a program of this kind; return its answer, and the seconds it took."""
        arguments = (self._parameters[network], *rows)
        if kind not in self._compiled:
            began = time.perf_counter()
            with phases.during(phases.COMPILING):
                program = sampling.spread(make(), self._mesh)
                self._compiled[kind] = program.lower(*arguments).compile()
            self._compile_s += time.perf_counter() - began
        self._compiled.move_to_end(kind)
        while len(self._compiled) > MOST:
            self._compiled.popitem(last=False)
        began = time.perf_counter()
        answer = jax.block_until_ready(self._compiled[kind](*arguments))
        return answer, time.perf_counter() - began


def _require_neutral(job: Job) -> None:
    for name, value in _unknown(job).items():
        raise JobError(refuse_input(name, canonical_json(value)))


def _unknown(job: Job) -> dict[str, Any]:
    """Return a job's parameters that only painters with torch know."""
    return {name: value for name, value in job.extras.items() if name != "tag"}
