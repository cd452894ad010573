"""Textual inversions of a loaded pipeline: words that stand for learned vectors."""

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from storage.errors import ModelError
from storage.models.adapter_pipelines import EMBEDDING_PARTS
from workers.engine.loading import UNLOADABLE


@dataclass(frozen=True, slots=True)
class _Encoder:
    """A text encoder as it was loaded, with its tokenizer.

    Attributes:
        tokenizer: The pipeline's attribute of its tokenizer.
        own_tokenizer: That tokenizer, which is never changed.
        encoder: The encoder.
        vectors: Of all its tokens: (tokens, width), on the pipeline's device.
        names: Names of its vectors in a file for several encoders.
    """

    tokenizer: str
    own_tokenizer: Any
    encoder: Any
    vectors: torch.Tensor
    names: tuple[str, ...]


class Embeddings:
    """The textual inversions of one pipeline."""

    def __init__(self, pipe: Any) -> None:
        """Begin with none."""
        self._pipe = pipe
        self._encoders: list[_Encoder] = []
        self._in_place: Mapping[str, Path] = {}

    def put(self, files: Mapping[str, Path], *, pipeline: str) -> None:
        """Put these in place of all others.

        Args:
            files: Token to its file.
            pipeline: Class of the pipeline that the model names.

        Raises:
            ModelError: A file cannot be loaded, or does not fit.
        """
        if files == self._in_place:
            return
        self._take_away()
        if files:
            self._encoders = list(_encoders_of(self._pipe, EMBEDDING_PARTS[pipeline]))
            for each in self._encoders:
                setattr(self._pipe, each.tokenizer, copy.deepcopy(each.own_tokenizer))
        for token, file in files.items():
            self._load(token, file)
        self._in_place = dict(files)

    def _load(self, token: str, file: Path) -> None:
        try:
            tensors = load_file(file)
            for each in self._encoders:
                name = next(name for name in each.names or tensors if name in tensors)
                self._pipe.load_textual_inversion(
                    {token: tensors[name]},
                    token=token,
                    tokenizer=getattr(self._pipe, each.tokenizer),
                    text_encoder=each.encoder,
                )
        except (torch.OutOfMemoryError, torch.AcceleratorError):
            raise
        except (*UNLOADABLE, SafetensorError, StopIteration) as exc:
            self._take_away()
            msg = (
                f"a textual inversion must load with diffusers, but {file.name} does"
                f" not: {exc}; use one that was made for the model's base"
            )
            raise ModelError(msg) from exc

    def _take_away(self) -> None:
        self._in_place = {}
        for each in self._encoders:
            setattr(self._pipe, each.tokenizer, each.own_tokenizer)
            own = each.encoder.get_input_embeddings()
            own.weight.data = each.vectors
            own.num_embeddings = len(each.vectors)
            each.encoder.config.vocab_size = len(each.vectors)
        self._encoders = []


def _encoders_of(pipe: Any, parts: Mapping[str, tuple[str, ...]]) -> Iterator[_Encoder]:
    for part, names in parts.items():
        encoder, tokenizer = (
            getattr(pipe, part),
            part.replace("text_encoder", "tokenizer"),
        )
        yield _Encoder(
            tokenizer,
            getattr(pipe, tokenizer),
            encoder,
            encoder.get_input_embeddings().weight.data,
            names,
        )
