"""Networks that read images and texts, loaded from safetensors with transformers."""

import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from torch import Tensor
from torch.nn.functional import normalize
from transformers import (
    AutoImageProcessor,
    AutoModel,
    CLIPModel,
    CLIPTokenizer,
)
from transformers.utils import logging as transformers_logging

from storage.errors import ModelError
from storage.metrics.identity import Found
from workers.devices.device_errors import device_errors

if TYPE_CHECKING:
    import numpy as np

# Their bars are for a person at a terminal, not for a worker's log.
transformers_logging.disable_progress_bar()

#: Images of a batch on a GPU, and on a CPU.
GPU_BATCH = 64
CPU_BATCH = 16
#: Prompts whose features are kept; a feature has about a thousand numbers.
MOST_TEXTS = 10_000

#: What transformers raises for folders that it cannot load.
_UNLOADABLE = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ImportError,
    RuntimeError,
    SafetensorError,
)


class ImageNetwork:
    """Turns images into features of length 1, in float32.

    The network runs in float16 on a GPU and in float32 on a CPU.

    Attributes:
        batch_size: Images that it reads at once.
        scale: The factor that a CLIP was trained with, e to the `logit_scale`; 1 for
            other networks.
    """

    def __init__(
        self, found: Found, device: str, *, load: Any = AutoModel.from_pretrained
    ) -> None:
        """Load a network and what prepares its images.

        Raises:
            ModelError: transformers cannot load it.
            UnfitError: It does not fit into the device's memory.
            DeviceError: The device is of no more use to this process.
        """
        self.device = device
        self.batch_size = CPU_BATCH if device == "cpu" else GPU_BATCH
        self.dtype = torch.float32 if device == "cpu" else torch.float16
        self.name = found.network.name
        with device_errors(f"the model {self.name}"):
            # In float32 first: numbers beside the layers, as a scale, stay exact.
            network = self._load_from(
                load, found.network.folder, use_safetensors=True, dtype=torch.float32
            )
            self.scale = _scale_of(network)
            self.network = network.eval().to(device, self.dtype)
        self._processor = self._load_from(
            AutoImageProcessor.from_pretrained, found.processor.folder
        )

    def _load_from(self, load: Callable[..., Any], folder: Path, **options: Any) -> Any:
        try:
            return load(folder, local_files_only=True, **options)
        except (torch.OutOfMemoryError, torch.AcceleratorError):
            raise
        except _UNLOADABLE as error:
            msg = (
                f"a model must load with transformers, but {self.name} does not:"
                f" {error}; check its files, or name another model"
            )
            raise ModelError(msg) from error

    @torch.inference_mode()
    def look(self, images: "Sequence[np.ndarray]") -> Tensor:
        """Return the features of images: (count, features), float32, on the device.

        Args:
            images: Each (height, width, 3), uint8.
        """
        pixels = self._processor(list(images), return_tensors="pt")["pixel_values"]
        return normalize(self._features(pixels.to(self.device, self.dtype)).float())

    def _features(self, pixels: Tensor) -> Tensor:
        """Return the last state of the class token, after the last norm."""
        states: Tensor = self.network(pixel_values=pixels).last_hidden_state
        return states[:, 0]


class ClipNetwork(ImageNetwork):
    """A CLIP: images and texts as features that can be compared."""

    def __init__(self, found: Found, device: str, *, reads_text: bool = True) -> None:
        """Load a CLIP, and its tokenizer if it is to read texts.

        Raises:
            ModelError: transformers cannot load it.
            UnfitError: It does not fit into the device's memory.
            DeviceError: The device is of no more use to this process.
        """
        # Tokenizers would warn, or stop, when a process that used them forks.
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        super().__init__(found, device, load=CLIPModel.from_pretrained)
        self._known: dict[str, Tensor] = {}
        if reads_text:
            self._tokenizer = self._load_from(
                CLIPTokenizer.from_pretrained, found.processor.folder
            )

    @torch.inference_mode()
    def read(self, texts: Sequence[str]) -> Tensor:
        """Return the features of texts: (count, features), float32, on the device.

        A text with more tokens than the network has positions is cut off. The features
        of a text are computed once.
        """
        if len(self._known) > MOST_TEXTS:
            self._known.clear()
        fresh = [text for text in dict.fromkeys(texts) if text not in self._known]
        if fresh:
            self._known.update(zip(fresh, self._encode(fresh), strict=True))
        return torch.stack([self._known[text] for text in texts])

    def _encode(self, texts: Sequence[str]) -> Tensor:
        # Padded to one length, a text has the same features in any batch.
        tokens = self._tokenizer(
            list(texts),
            padding="max_length",
            truncation=True,
            max_length=self.network.config.text_config.max_position_embeddings,
            return_tensors="pt",
        ).to(self.device)
        found = self.network.get_text_features(**tokens).pooler_output
        return normalize(found.float())

    def _features(self, pixels: Tensor) -> Tensor:
        features: Tensor = self.network.get_image_features(pixels).pooler_output
        return features


def _scale_of(network: Any) -> float:
    logarithm = getattr(network, "logit_scale", None)
    return 1.0 if logarithm is None else math.exp(float(logarithm.detach()))
