"""Single-file checkpoints: what a file holds, and what comes from a configuration."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from storage.errors import ModelError
from storage.models.architectures import SD2, Architecture, recognise, stated_width
from storage.models.checkpoint_names import CheckpointName, is_gguf, parse
from storage.models.gguf_headers import read_gguf_header
from storage.models.located import (
    CHECKPOINT,
    SCHEDULER_CONFIG,
    Located,
    read_json,
    read_scheduler_config,
)
from storage.models.tensor_headers import Header, read_header

#: Configurations of common architectures, in diffusers format without weights.
OWN_CONFIGS = Path(__file__).parent / "single_file"

_V = "v_prediction"
#: A network of Stable Diffusion 2 that predicts v has larger numbers here.
_SD2_MARK = "model.diffusion_model.output_blocks.11.1.transformer_blocks.0.norm1.bias"
_SD2_V_ABOVE = 0.09
_WAY_OUT = "write it as {file: FILE, config: FOLDER or Hub id} in diffusers format"
#: What is counted of a file, and the setting of the network that must be equal to it.
_BLOCKS = (
    ("double_blocks.", "num_layers"),
    ("single_blocks.", "num_single_layers"),
    ("joint_blocks.", "num_layers"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A single file that was read.

    Attributes:
        name: As jobs carry it.
        asked: Its parts.
        header: Of the file.
        architecture: What it was recognised as.
    """

    name: str
    asked: CheckpointName
    header: Header
    architecture: Architecture

    @property
    def held(self) -> frozenset[str]:
        """The components whose weights the file holds."""
        return self.architecture.held(self.header)

    @property
    def config(self) -> str:
        """The folder or Hub id that has the rest.

        Raises:
            ModelError: The sweep names none, and there is none of our own.
        """
        if self.asked.config is not None:
            return self.asked.config
        if self.architecture.own is None:
            msg = (
                f"a file of {self.architecture.name} needs a model in diffusers format"
                " beside it, for its configuration, tokenizers and all that the file"
                f" does not hold, got {self.asked.file} alone; {_WAY_OUT}"
            )
            raise ModelError(msg)
        if lacking := {"vae", *self.architecture.encoders} - self.held:
            msg = (
                f"{self.asked.file} must hold a whole {self.architecture.name}, or"
                f" name where the rest is, but lacks {', '.join(sorted(lacking))};"
                f" {_WAY_OUT}"
            )
            raise ModelError(msg)
        is_v = self.architecture is SD2 and self._prediction == _V
        return str(OWN_CONFIGS / (self.architecture.own + "-v" * is_v))

    def on(self, base: Located) -> Located:
        """Return the model that the file makes with a configuration.

        Args:
            base: The model at `config`, without the weights that the file holds.

        Raises:
            ModelError: The two do not fit.
        """
        self._check(base)
        size = self.header.file.stat().st_size
        return replace(
            base,
            name=self.name,
            files=tuple(sorted([*base.files, CHECKPOINT])),
            size_bytes=base.size_bytes + size,
            checkpoint=self.header.file,
            held=self.held,
            scheduler_options=self._options(base),
            remarks=self.remarks,
        )

    @property
    def remarks(self) -> tuple[str, ...]:
        """Sentences about what of the file is not used."""
        if not self.header.has("model_ema."):
            return ()
        return (
            f"{self.header.file.name} has its network twice: the weights under"
            " model.diffusion_model are used, as diffusers does, and the averaged ones"
            " (EMA) are not",
        )

    @property
    def _prediction(self) -> str | None:
        """What the network predicts, by what is asked and by the file."""
        if self.asked.prediction:
            return self.asked.prediction
        if "v_pred" in self.header.tensors:
            return _V
        stated = self.header.metadata.get("modelspec.prediction_type", "")
        if stated in ("v", _V):
            return _V
        if stated == "epsilon":
            return stated
        if self.architecture is SD2:
            deviation = self.header.deviation(_SD2_MARK)
            return _V if deviation and deviation > _SD2_V_ABOVE else "epsilon"
        return None

    @property
    def _has_zero_snr(self) -> bool:
        if self.asked.zero_snr is not None:
            return self.asked.zero_snr
        return "ztsnr" in self.header.tensors

    def _options(self, base: Located) -> Mapping[str, Any]:
        stated = read_scheduler_config(base.folder / SCHEDULER_CONFIG)
        options: dict[str, Any] = {}
        if self._prediction and self.architecture.network == "unet":
            options["prediction_type"] = self._prediction
        if self._has_zero_snr:
            options |= {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
        elif self.asked.zero_snr is False:
            options["rescale_betas_zero_snr"] = False
        unstated = {"prediction_type": "epsilon", "rescale_betas_zero_snr": False}
        return {
            name: value
            for name, value in options.items()
            if stated.get(name, unstated.get(name)) != value
        }

    def _check(self, base: Located) -> None:
        kind = base.index.get("_class_name")
        if kind not in self.architecture.pipelines:
            msg = (
                f"{self.asked.file} is a file of {self.architecture.name}, so its"
                f" config must be of a {' or a '.join(self.architecture.pipelines)},"
                f" but {base.name} is of a {kind}; name another config"
            )
            raise ModelError(msg)
        config = read_json(base.folder / f"{self.architecture.network}/config.json")
        for name, found in self._measures():
            stated = config.get(name)
            stated = stated[0] if isinstance(stated, list) and stated else stated
            if found is not None and stated is not None and found != stated:
                msg = (
                    f"the network in {self.asked.file} has a {name} of {found}, but"
                    f" the config {base.name} says {stated}; name the config of the"
                    " model that the file was made from"
                )
                raise ModelError(msg)

    def _measures(self) -> list[tuple[str, int | bool | None]]:
        """Return what the file shows of its network: setting and value."""
        if self.architecture.network == "unet":
            conv_in = "model.diffusion_model.input_blocks.0.0.weight"
            return [
                ("block_out_channels", self.header.side(conv_in, 0)),
                ("cross_attention_dim", stated_width(self.header)),
            ]
        found: list[tuple[str, int | bool | None]] = [
            (setting, count)
            for mark, setting in _BLOCKS
            if (count := self._count(mark))
        ]
        if self.architecture.name == "FLUX.1":
            guided = ("guidance_in.", "model.diffusion_model.guidance_in.")
            found.append(("guidance_embeds", self.header.has(*guided)))
        return found

    def _count(self, mark: str) -> int:
        numbers = {
            name.partition(mark)[2].partition(".")[0]
            for name in self.header.tensors
            if name.removeprefix("model.diffusion_model.").startswith(mark)
        }
        return len(numbers)


def read_checkpoint(name: str) -> Checkpoint:
    """Read what a single file holds, from its header alone.

    Args:
        name: As `resolve_name` returns it.

    Raises:
        ModelError: There is no such file, or it is of no kind that makes images.
        OSError: It cannot be read.
    """
    asked = parse(name)
    file = Path(asked.file)
    if not file.is_file():
        msg = f"a single-file checkpoint must be there, got {file}; check the path"
        raise ModelError(msg)
    header = read_gguf_header(file) if is_gguf(name) else read_header(file)
    architecture = recognise(header)
    if architecture is None:
        first = min(header.tensors, default="none")
        msg = (
            f"the tensors of {file} have the names of no architecture that is known"
            f" here, such as {first!r}; name a model in diffusers format, with a"
            " model_index.json, or another file"
        )
        raise ModelError(msg)
    if not architecture.pipelines:
        msg = (
            f"a model must make an image from a prompt alone, but {file} is"
            f" {architecture.name}; name a whole model"
        )
        raise ModelError(msg)
    if is_gguf(name) and architecture.network != "transformer":
        msg = (
            "a GGUF file must be of a transformer, which diffusers can load, but"
            f" {file} is of {architecture.name}; name its safetensors"
        )
        raise ModelError(msg)
    if (asked.prediction or asked.zero_snr is not None) and (
        architecture.network != "unet"
    ):
        msg = (
            f"prediction and zero_snr are for files of a UNet, but {file} is of"
            f" {architecture.name}, whose network predicts a flow; leave them out"
        )
        raise ModelError(msg)
    return Checkpoint(name=name, asked=asked, header=header, architecture=architecture)
