"""What cannot be quantised."""

from collections.abc import Iterator

from producer.expansion.cells import Cell, combinations
from producer.expansion.grid import Grid
from producer.expansion.quantised_parts import QUANTIZE, quantised_parts
from producer.models.cards import ModelCard
from producer.spec.problems import listed
from storage.catalogue.quantisation import SCHEMES, parse_quantisation
from storage.models.checkpoint_names import is_checkpoint, is_gguf


def find_quantisation_problems(grid: Grid) -> Iterator[tuple[Cell, str, str]]:
    """Yield a cell, the parameter that is wrong in it, and what is wrong."""
    for cell in combinations(grid, QUANTIZE, "dtype", "loras", "controlnet"):
        if not (text := cell.parameters[QUANTIZE]):
            continue
        for message in _refuse(grid.card, text):
            yield cell, QUANTIZE, message
        for message in _refuse_dtype(cell.parameters["dtype"], text):
            yield cell, QUANTIZE, message
        for name, what in _UNTRIED.items():
            if cell.parameters[name]:
                message = _BESIDE.format(what, text)
                yield cell, QUANTIZE, message


#: Parameters that were not tried on quantised weights, and what they are.
_UNTRIED = {"loras": "LoRAs", "controlnet": "ControlNets"}
_BESIDE = (
    "quantize must be left out beside {}, which were not tried on quantised weights,"
    " got {}; leave out one of the two"
)


def _refuse(card: ModelCard, text: str) -> Iterator[str]:
    if is_gguf(card.model.name):
        yield (
            "quantize must be left out for a GGUF file, whose weights are quantised"
            f" already, got {text}; leave it out"
        )
        return
    if is_checkpoint(card.model.name):
        yield (
            f"quantize must be left out for a single file, got {text}; save the model"
            " with `save_pretrained`, and name that folder"
        )
        return
    known = quantised_parts(card)
    for part in parse_quantisation(text):
        if known and part not in known:
            yield (
                f"quantize must name components that the model has, got {part}; it has"
                f" {listed(known)}"
            )


def _refuse_dtype(dtype: str, text: str) -> Iterator[str]:
    for scheme in dict.fromkeys(parse_quantisation(text).values()):
        if (wanted := SCHEMES[scheme].dtype) not in ("", dtype):
            yield (
                f"`quantize: {scheme}` must stand beside `dtype: {wanted}`, since"
                f" torchao makes its weights from no other, got {dtype}; write"
                f" `dtype: {wanted}`"
            )
