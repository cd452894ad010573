"""What is known of each metric before it is loaded."""

from collections.abc import Mapping
from dataclasses import dataclass

#: A common CLIP for comparisons, with weights in safetensors.
_CLIP = "openai/clip-vit-large-patch14"
#: CLIPs for the images of built-in models, which the one above knows less well.
_BUILTIN_CLIPS: Mapping[str, str] = {"builtin:shapes": "builtin:clip"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """The network of a metric.

    Attributes:
        types: Values of `model_type` in the config of a network that serves.
        default: The network that is used unless another one is named.
        reads_text: Whether the network's tokenizer is needed too.
        processor: The network whose processor and tokenizer serve if it lacks them.
    """

    types: tuple[str, ...]
    default: str
    reads_text: bool = False
    processor: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricKind:
    """A metric as it is known without torch.

    Attributes:
        name: Identifies its scores: `clip`.
        version: Changes whenever its values do.
        higher_is_better: The direction.
        needs_reference: Whether it compares with the same job at a reference setting.
        source: What loads it: the name of a built-in metric, else `module:Class`,
            `file.py:Class` or an entry point.
        needs: Its network; None if it needs none.
        rises_with_guidance: Whether it is known to reward more guidance as such.
        for_show: Whether it must not be averaged or ranked by.
    """

    name: str
    version: str
    higher_is_better: bool
    needs_reference: bool
    source: str
    needs: Needs | None = None
    rises_with_guidance: bool = False
    for_show: bool = False


def _text_metric(name: str, needs: Needs) -> MetricKind:
    return MetricKind(
        name=name,
        version="1",
        higher_is_better=True,
        needs_reference=False,
        source=name,
        needs=needs,
        rises_with_guidance=True,
    )


def _distance(name: str, needs: Needs | None = None) -> MetricKind:
    return MetricKind(
        name=name,
        version="1",
        higher_is_better=False,
        needs_reference=True,
        source=name,
        needs=needs,
    )


#: The built-in metrics by name.
KINDS: Mapping[str, MetricKind] = {
    kind.name: kind
    for kind in (
        _text_metric("clip", Needs(types=("clip",), default=_CLIP, reads_text=True)),
        _text_metric(
            "pickscore",
            Needs(
                types=("clip",),
                default="yuvalkirstain/PickScore_v1",
                reads_text=True,
                processor="laion/CLIP-ViT-H-14-laion2B-s32B-b79K",
            ),
        ),
        _distance("rmse"),
        _distance("ssim"),
        _distance("clip_distance", Needs(types=("clip",), default=_CLIP)),
        _distance(
            "dino_distance",
            Needs(
                types=("dinov2", "dinov2_with_registers"),
                default="facebook/dinov2-base",
            ),
        ),
        MetricKind(
            name="psnr",
            version="1",
            higher_is_better=True,
            needs_reference=True,
            source="psnr",
            for_show=True,
        ),
    )
}


def default_network(kind: MetricKind, image_model: str) -> str:
    """Return the network that a metric uses for the images of a model.

    Args:
        kind: The metric.
        image_model: Name of the model that made the images: `builtin:shapes`.

    Returns:
        A name as `resolve_network` returns it; empty for a metric without a network.
    """
    if kind.needs is None:
        return ""
    if kind.needs.default == _CLIP:
        return _BUILTIN_CLIPS.get(image_model, _CLIP)
    return kind.needs.default
