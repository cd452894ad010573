"""Preparing the jobs of one loaded pipeline."""

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from diffusers import ConfigMixin

from storage.catalogue.control_pipelines import controls_of
from storage.errors import JobError, in_words
from storage.files.inputs import InputFolder
from storage.job import Job
from workers.engine.arguments import arguments_of
from workers.engine.clock import Clock
from workers.engine.control_stand_ins import control_stand_in, network_name
from workers.engine.first_noise import FirstNoise
from workers.engine.image_inputs import image_arguments, pipeline_for
from workers.engine.network_caches import caching
from workers.engine.runs import Run
from workers.engine.schedulers import Schedulers
from workers.engine.stand_ins import (
    OWN_ERRORS,
    DecoderStandIn,
    NetworkStandIn,
    SchedulerStandIn,
)
from workers.engine.text_encoders import TextEncoders
from workers.engine.texts import TextCache

#: Attributes of a pipeline that may hold a network which its loop calls.
NETWORKS = ("unet", "transformer", "transformer_2", "controlnet", "prior")
#: Attributes that may hold a decoder.
DECODERS = ("vae", "movq")


class Starter:
    """Makes a run of each job: its own copy of the pipeline, and its own scheduler.

    The copy shares all modules with the pipeline, and nothing that a job changes.

    Attributes:
        pipe: The pipeline, on its device.
        device: That device.
        clock: Takes moments of its time.
        networks: What is called for each network, by the pipeline's attribute.
    """

    def __init__(
        self,
        pipe: Any,
        scheduler_config: Mapping[str, Any],
        *,
        inputs: InputFolder | None = None,
    ) -> None:
        """Set the pipeline.

        Args:
            pipe: The pipeline.
            scheduler_config: The scheduler config that it was loaded with.
            inputs: The input images of its jobs; None if no job has any.
        """
        self.pipe = pipe
        self._inputs = inputs
        # Kept: diffusers walks through all modules for it.
        self.device: torch.device = pipe.device
        self.clock = Clock(str(self.device))
        self.networks: dict[str, Callable[..., Any]] = {
            name: part for name in NETWORKS if (part := getattr(pipe, name, None))
        }
        self._own_networks = tuple(self.networks)
        #: ControlNets by fingerprint.
        self._control_nets: dict[str, Any] = {}
        #: Pipelines for jobs with images: whether they begin with one, and the
        #: fingerprints of their ControlNets.
        self._siblings: dict[tuple[bool, Sequence[str]], Any] = {}
        self._copied_classes: dict[type, type] = {}
        self._decoders = [name for name in DECODERS if getattr(pipe, name, None)]
        self._changing = _find_changing(pipe)
        self._dtypes = {name: getattr(pipe, name).dtype for name in self._decoders}
        self._schedulers = Schedulers(scheduler_config)
        encode = getattr(pipe, "encode_prompt", None)
        self._encoders = TextEncoders(pipe, self.device)
        self._texts = (
            TextCache(self._encoders.on_device(encode), device=self.device)
            if encode
            else None
        )

    def forget_texts(self, jobs: Sequence[Job] = ()) -> bool:
        """Drop all texts but those of `jobs`; return whether there were others."""
        prompts = {job.prompt for job in jobs}
        return bool(self._texts and self._texts.forget_all_but(prompts))

    def distinguish_texts(self, state: str) -> None:
        """Set what texts depend on besides their words, such as a LoRA."""
        if self._texts:
            self._texts.distinguish(state)

    def recall_encoders(self) -> None:
        """Have text encoders return to the GPU, before they are changed."""
        self._encoders.come_back()

    def spare_encoders(self) -> bool:
        """Have text encoders leave a GPU but to encode; return whether any did."""
        return bool(self._texts and self.clock.on_gpu and self._encoders.leave())

    def add_control_net(self, fingerprint: str, net: Any) -> None:
        """Have jobs use a ControlNet, which is on the device."""
        self._control_nets[fingerprint] = net
        self.networks[network_name(fingerprint)] = net

    def drop_control_net(self, fingerprint: str) -> None:
        """Forget a ControlNet, and the pipelines that have it."""
        del self._control_nets[fingerprint]
        del self.networks[network_name(fingerprint)]
        for kind in [kind for kind in self._siblings if fingerprint in kind[1]]:
            del self._siblings[kind]

    def restore(self) -> None:
        """Give decoders the dtype that they were loaded with.

        SDXL changes it while it decodes. If memory runs out then, it stays changed.
        """
        for name, dtype in self._dtypes.items():
            decoder = getattr(self.pipe, name)
            if decoder.dtype != dtype:
                decoder.to(dtype=dtype)

    def start(
        self, job: Job, *, is_alone: bool = False
    ) -> tuple[Run, Callable[[], torch.Tensor]]:
        """Return the run of a job, and the function that paints it within the run.

        Args:
            job: The job to paint.
            is_alone: Whether its calls are never merged with those of other jobs.

        Raises:
            JobError: The scheduler refuses its options, or the pipeline an argument.
            UnfitError: A package that the scheduler needs is missing here.
        """
        run = Run(job=job, clock=self.clock, is_alone=is_alone)
        device = self.device if job.generator == "cuda" else "cpu"
        generator = torch.Generator(device).manual_seed(job.seed)
        form = self._form_of(job)
        pipe = self._copy(form, run, generator)
        noise = FirstNoise(job.seed) if job.generator == "numpy" else None
        if noise:
            noise.give_to(pipe)
        arguments = arguments_of(job, form, generator)
        arguments |= image_arguments(job, self._inputs)

        def paint() -> torch.Tensor:
            try:
                with caching(pipe, job):
                    pixels = pipe(**arguments)[0]
            except OWN_ERRORS as exc:
                msg = f"{type(pipe).__name__} must paint a job, but fails: "
                raise JobError(msg + in_words(exc)) from exc
            finally:
                vars(pipe).clear()  # it would keep what its parts refer to
            _require_steps(run)
            if noise:
                noise.require_drawn(self.pipe)
            return _as_tensor(pixels)

        return run, paint

    def _form_of(self, job: Job) -> Any:
        """Return the pipeline of a job: the loaded one, or its sibling for images."""
        from_image = bool(job.parameter("image"))
        marks = tuple(each.fingerprint for each in controls_of(job.extras))
        if not (from_image or marks):
            return self.pipe
        kind = (from_image, marks)
        if kind not in self._siblings:
            nets = [self._control_nets[mark] for mark in marks]
            self._siblings[kind] = pipeline_for(
                self.pipe, from_image=from_image, nets=nets
            )
        return self._siblings[kind]

    def _copied_class(self, own: type) -> type:
        if own not in self._copied_classes:
            self._copied_classes[own] = _fast_class(own, self.device)
        return self._copied_classes[own]

    def _copy(self, form: Any, run: Run, generator: torch.Generator) -> Any:
        """Return a pipeline with stand-ins for its parts."""
        pipe = copy.copy(form)
        pipe.__class__ = self._copied_class(type(form))
        own = vars(pipe)
        own["_internal_dict"] = copy.copy(own["_internal_dict"])
        for name in self._changing:
            own[name] = copy.deepcopy(getattr(self.pipe, name))
        own["scheduler"] = SchedulerStandIn(
            self._schedulers.build(run.job),
            run=run,
            prepare=self._schedulers.set_timesteps,
            generator=generator,
        )
        for name in self._own_networks:
            own[name] = NetworkStandIn(getattr(self.pipe, name), name=name, run=run)
        if controls := controls_of(run.job.extras):
            marks = [each.fingerprint for each in controls]
            own["controlnet"] = control_stand_in(form.controlnet, marks, run=run)
        for name in self._decoders:
            own[name] = DecoderStandIn(getattr(self.pipe, name), run=run)
        if self._texts:
            own["encode_prompt"] = self._texts.encode
        return pipe


def _require_steps(run: Run) -> None:
    """Check that a pipeline has used the job's scheduler.

    One that consists of other pipelines uses theirs.

    Raises:
        JobError: It has not.
    """
    if not run.steps:
        msg = (
            "a pipeline must use the scheduler of the job, but this one never asks it "
            "for timesteps; name another model"
        )
        raise JobError(msg)


def _as_tensor(pixels: Any) -> torch.Tensor:
    """Return pixels as (1, 3, height, width)."""
    if isinstance(pixels, torch.Tensor):
        return pixels
    return torch.from_numpy(pixels).permute(0, 3, 1, 2)


def _find_changing(pipe: Any) -> list[str]:
    """Return the names of parts that change while a job is painted: guiders and such.

    They are configured like a scheduler, and are no networks. Each job has a scheduler
    of its own anyhow.
    """
    return [
        name
        for name, part in vars(pipe).items()
        if name in pipe.config
        and name != "scheduler"
        and isinstance(part, ConfigMixin)
        and not isinstance(part, torch.nn.Module)
    ]


def _fast_class(own: type, device: torch.device) -> type:
    """Return the class of a pipeline with its device as a constant.

    diffusers walks through all modules, several times a call, to find it.
    """
    return type(own.__name__, (own,), {"device": device, "_execution_device": device})
