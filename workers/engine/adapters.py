"""LoRAs of a loaded pipeline: put into place for each group, and not fused.

Fusing rounds the weights, and cannot be undone exactly. An adapter that is loaded but
not active changes no bit, so those of recent groups stay loaded.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from storage.errors import ModelError
from storage.job import Job, canonical_json
from storage.models.adapter_pipelines import NETWORK, NETWORKS
from storage.models.fingerprint import Digests
from storage.models.lora_layers import Layers, base_layers, find_misfit
from storage.models.part_files import find_part_file
from storage.models.tensor_headers import read_shapes
from workers.devices.memory import total_bytes
from workers.engine.embeddings import Embeddings
from workers.engine.loading import UNLOADABLE, without_mending
from workers.engine.starter import Starter
from workers.model_lookup import find_part
from workers.painting import Places

#: Share of the device's memory that the LoRAs of one model may take.
SHARE = 1 / 16


class Adapters:
    """What is added to the weights of one pipeline: LoRAs and textual inversions."""

    def __init__(
        self,
        starter: Starter,
        *,
        digests: Path,
        places: Places | None,
        most_bytes: int | None = None,
    ) -> None:
        """Begin with nothing.

        Args:
            starter: Has the pipeline, as it was loaded.
            digests: File that remembers digests of weights.
            places: Knows where files may be; None to try only the job's own places.
            most_bytes: Most bytes of all LoRAs that stay loaded; None for `SHARE` of
                the memory.
        """
        self._starter = starter
        self._pipe = starter.pipe
        self._digests = digests
        self._places = places
        if most_bytes is None:
            most_bytes = int(SHARE * total_bytes(str(starter.device)))
        self._most = most_bytes
        self._layers: Mapping[str, Layers] = {}
        self._loaded: OrderedDict[str, int] = OrderedDict()  # name to bytes
        self._embeddings = Embeddings(starter.pipe)
        self._in_place = _names([], [])

    def put(self, job: Job) -> None:
        """Put what a job needs into place, and nothing else.

        Raises:
            ModelError: A file cannot be found, or does not fit.
        """
        loras, words = job.parameter("loras"), job.parameter("embeddings")
        wanted = _names(loras, words)
        if wanted == self._in_place:
            return
        self._in_place = ""
        self._starter.recall_encoders()
        self._put_loras(job, loras)
        self._put_embeddings(job, words)
        self._starter.distinguish_texts(wanted)
        self._in_place = wanted

    def unload(self) -> None:
        """Take all LoRAs away, so that the networks are as they were loaded."""
        if self._loaded:
            self._pipe.unload_lora_weights()
            self._loaded.clear()
            self._in_place = ""

    def drop_unused(self) -> bool:
        """Drop the LoRAs that are not in place; return whether there were any."""
        unused = [name for name in self._loaded if name not in self._in_place]
        for name in unused:
            self._drop(name)
        return bool(unused)

    def _put_loras(self, job: Job, rows: list[list[Any]]) -> None:
        names = [_adapter(mark) for mark, _ in rows]
        for (mark, _), name in zip(rows, names, strict=True):
            if name not in self._loaded:
                self._load(job, mark, name)
            self._loaded.move_to_end(name)
        if names:
            self._pipe.enable_lora()
            self._pipe.set_adapters(names, [scale for _, scale in rows])
        elif self._loaded:
            self._pipe.disable_lora()
        while sum(self._loaded.values()) > self._most:
            oldest = next(iter(self._loaded))
            if oldest in names:
                break
            self._drop(oldest)

    def _load(self, job: Job, mark: str, name: str) -> None:
        if not self._loaded:
            self._layers = _layers_of(self._pipe)
        file = self._find(job, mark)
        pipeline = job.model.pipeline or ""
        misfit = find_misfit(read_shapes(file), self._layers, pipeline=pipeline)
        if misfit:
            msg = (
                f"a LoRA must fit its model, but {file.name} {misfit}; use one that was"
                " made for the model's base"
            )
            raise ModelError(msg)
        try:
            with without_mending(self._pipe):
                self._pipe.load_lora_weights(
                    str(file.parent),
                    weight_name=file.name,
                    adapter_name=name,
                    local_files_only=True,
                )
            _check_loaded(self._pipe, name)
        except (torch.OutOfMemoryError, torch.AcceleratorError):
            self._unload_after_error()
            raise
        except UNLOADABLE as exc:
            self._unload_after_error()
            msg = (
                f"a LoRA must load with diffusers, but {file.name} does not: {exc};"
                " use one that was made for the model's base"
            )
            raise ModelError(msg) from exc
        self._loaded[name] = file.stat().st_size
        self._find(job, mark)  # it must not have changed while it was read

    def _put_embeddings(self, job: Job, rows: list[list[str]]) -> None:
        find: Callable[[str], Path] = lambda mark: self._find(job, mark)  # noqa: E731
        files = {token: find(mark) for mark, token in rows}
        self._embeddings.put(files, pipeline=job.model.pipeline or "")

    def _find(self, job: Job, mark: str) -> Path:
        return find_part(
            job,
            mark,
            lambda place: find_part_file(place, Digests(self._digests)),
            places=self._places,
        )

    def _drop(self, name: str) -> None:
        self._pipe.delete_adapters(name)
        del self._loaded[name]

    def _unload_after_error(self) -> None:
        self._pipe.unload_lora_weights()
        self._loaded.clear()


def _adapter(mark: str) -> str:
    return f"lora_{mark}"


def _check_loaded(pipe: Any, name: str) -> None:
    """Refuse a LoRA of which diffusers, which only warns, read nothing.

    Raises:
        ValueError: No part of the pipeline has it.
    """
    if not any(name in names for names in pipe.get_list_adapters().values()):
        msg = "its keys are of a style that diffusers does not read for this pipeline"
        raise ValueError(msg)


def _names(loras: list[list[Any]], words: list[list[str]]) -> str:
    named = [[_adapter(mark), scale] for mark, scale in loras]
    return canonical_json([named, words])


def _layers_of(pipe: Any) -> Mapping[str, Layers]:
    """Return the layers of the parts of a pipeline to which no LoRA was added."""
    return {
        NETWORK if name in NETWORKS else name: base_layers(
            {key: tuple(weight.shape) for key, weight in part.named_parameters()}
        )
        for name, part in pipe.components.items()
        if isinstance(part, torch.nn.Module)
    }
