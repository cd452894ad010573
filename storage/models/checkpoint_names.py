"""The name of a single-file checkpoint, and of what its pipeline takes from elsewhere.

    /models/x.safetensors
    /models/x.safetensors?config=/models/sdxl&prediction=v_prediction&zero_snr=true

One text says all of it, so that it can stand wherever the name of a model can.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, get_args
from urllib.parse import quote, unquote

from storage.errors import ModelError

#: What a network may have been trained to predict.
Prediction = Literal["epsilon", "v_prediction", "sample"]

_GGUF = ".gguf"
_ENDINGS = (".safetensors", _GGUF)
_NAME = re.compile(
    r"(?P<file>.+?\.(?:safetensors|gguf))(?:\?(?P<options>.*))?", re.DOTALL
)
_PICKLES = (".ckpt", ".pt", ".pth", ".bin")
#: How to make safetensors of a pickle.
CONVERT = (
    "convert it on a machine that may run it: `python -c"
    " 'import sys, torch, safetensors.torch as s; d = torch.load(sys.argv[1],"
    ' map_location="cpu", weights_only=True); d = d.get("state_dict", d);'
    " s.save_file({k: v.contiguous() for k, v in d.items() if"
    " isinstance(v, torch.Tensor)}, sys.argv[2])' IN.ckpt OUT.safetensors`"
)
_WORDS = {"true": True, "false": False}
_KEYS = ("config", "prediction", "zero_snr")


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointName:
    """A single-file checkpoint as a sweep names it.

    Attributes:
        file: Path of the safetensors or GGUF file.
        config: Folder or Hub id, in diffusers format, that has the configuration and
            what the file does not hold; None for the configuration of our own.
        prediction: What its network predicts; None where the file or the
            configuration says so.
        zero_snr: Whether its last training step was noise alone; None likewise.
    """

    file: str
    config: str | None = None
    prediction: str | None = None
    zero_snr: bool | None = None

    def __post_init__(self) -> None:
        """Check the parts.

        Raises:
            ModelError: One of them is none that a checkpoint can have.
        """
        refuse_pickle(self.file)
        if not self.file.endswith(_ENDINGS):
            msg = (
                "the file of a model must end in .safetensors or .gguf, got"
                f" {self.file!r}; name"
                " such a file, or a folder in diffusers format as `model: FOLDER`"
            )
            raise ModelError(msg)
        if self.prediction not in (None, *get_args(Prediction)):
            msg = (
                f"prediction must be {', '.join(get_args(Prediction)[:-1])} or"
                f" {get_args(Prediction)[-1]}, got {self.prediction!r}; change it"
            )
            raise ModelError(msg)

    def __str__(self) -> str:
        """Return the name as jobs carry it."""
        snr = None if self.zero_snr is None else str(self.zero_snr).lower()
        values = (self.config, self.prediction, snr)
        options = "&".join(
            f"{key}={quote(value, safe='/:@~ ')}"
            for key, value in zip(_KEYS, values, strict=True)
            if value is not None
        )
        return f"{self.file}?{options}" if options else self.file

    @property
    def label(self) -> str:
        """The name as people read it in a table."""
        snr = None
        if self.zero_snr is not None:
            snr = "zero_snr" if self.zero_snr else "no zero_snr"
        parts = (self.file, self.config, self.prediction, snr)
        return "@".join(part for part in parts if part)

    def resolved(
        self, *, file: Callable[[str], str], model: Callable[[str], str]
    ) -> "CheckpointName":
        """Return the name that does not depend on a folder.

        Args:
            file: Resolves the path of a file.
            model: Resolves the name of a folder or of a Hub model.
        """
        config = None if self.config is None else model(self.config)
        return replace(self, file=file(self.file), config=config)


def is_checkpoint(name: str) -> bool:
    """Return whether a name is that of a single file, rather than of a folder."""
    return bool(_NAME.fullmatch(name)) or name.endswith(_PICKLES)


def is_gguf(name: str) -> bool:
    """Return whether a name is that of a GGUF file, whose weights are quantised."""
    match = _NAME.fullmatch(name)
    return match is not None and match["file"].endswith(_GGUF)


def parse(name: str) -> CheckpointName:
    """Read the name of a single file.

    Raises:
        ModelError: It is not such a name.
    """
    refuse_pickle(name)
    match = _NAME.fullmatch(name)
    options = [
        part.partition("=") for part in ((match and match["options"]) or "").split("&")
    ]
    given = {key: unquote(value) for key, _, value in options if key}
    unknown = [key for key in given if key not in _KEYS]
    snr = given.get("zero_snr")
    if match is None or unknown or snr not in (None, *_WORDS):
        msg = (
            "the name of a single file is FILE.safetensors or FILE.gguf, or FILE?"
            f"config=FOLDER&prediction=v_prediction&zero_snr=true, got {name!r}; write"
            " it so"
        )
        raise ModelError(msg)
    return CheckpointName(
        file=match["file"],
        config=given.get("config"),
        prediction=given.get("prediction"),
        zero_snr=None if snr is None else _WORDS[snr],
    )


def label_of(name: str) -> str:
    """Return the name of any model as people read it in a table."""
    try:
        return parse(name).label if is_checkpoint(name) else name
    except ModelError:
        return name


def folder_name(name: str) -> str:
    """Return the folder or Hub id of a model that is not whole in one file.

    It is what `config` names of a single file; empty if it names nothing.
    """
    return parse(name).config or "" if is_checkpoint(name) else name


def refuse_pickle(file: str) -> None:
    """Refuse a file whose format can hold code.

    Raises:
        ModelError: It is one.
    """
    if not file.endswith(_PICKLES):
        return
    msg = (
        f"a model must be in safetensors format, since a pickle can run code when it is"
        f" read, got {file}; {CONVERT}"
    )
    raise ModelError(msg)
