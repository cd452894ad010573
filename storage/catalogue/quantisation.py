"""Quantised weights: the schemes, and the text by which a job names them.

    text_encoder=int8 transformer=fp8

One text says all of it, so that a query can look for a part of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

#: Components whose weights may be quantised: the network, of which a pipeline has one,
#: and text encoders. A VAE is small.
NETWORKS = ("transformer", "unet", "prior")
TEXT_ENCODERS = ("text_encoder", "text_encoder_2", "text_encoder_3")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheme:
    """One way to quantise the weights of linear layers, as torchao has it.

    Each treats every token of the input by itself, so that an image does not depend on
    its neighbours in a batch.

    Attributes:
        config: Class in `torchao.quantization`.
        granularity: Class there that the config takes as `granularity`; empty for the
            config's own.
        capability: The least CUDA compute capability of a GPU that has its kernels;
            None if it runs everywhere.
        dtype: The only dtype of a job that its weights can be made from; empty for any.
    """

    config: str
    granularity: str = ""
    capability: tuple[int, int] | None = None
    dtype: str = ""

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes of `torchao.quantization` that it uses."""
        return (self.config, self.granularity) if self.granularity else (self.config,)


SCHEMES: Mapping[str, Scheme] = {
    "int8": Scheme(config="Int8WeightOnlyConfig"),
    "int8_dynamic": Scheme(config="Int8DynamicActivationInt8WeightConfig"),
    "fp8": Scheme(config="Float8WeightOnlyConfig"),
    # By default it has one scale for a whole batch, so that rows would depend on
    # each other.
    "fp8_dynamic": Scheme(
        config="Float8DynamicActivationFloat8WeightConfig",
        granularity="PerRow",
        capability=(8, 9),
        dtype="bfloat16",
    ),
}


def format_quantisation(schemes: Mapping[str, str]) -> str:
    """Return the text for component to scheme."""
    return " ".join(f"{part}={scheme}" for part, scheme in sorted(schemes.items()))


def parse_quantisation(text: str) -> dict[str, str]:
    """Return component to scheme; nothing for an empty text."""
    return dict(each.split("=") for each in text.split())
