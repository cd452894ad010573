"""Metrics by name, loaded onto a device."""

from pathlib import Path

from storage.errors import MetricError, in_words
from storage.metrics.identity import Found, find_networks, verify_networks
from storage.metrics.kinds import KINDS
from storage.metrics.own_classes import find_class, resolve_source
from storage.models.fingerprint import Digests
from workers.metrics.metric import Metric


def load(
    name: str,
    *,
    model: str,
    device: str,
    planned: str | None = None,
    digests: Digests | None = None,
) -> Metric:
    """Load a metric onto a device, and fetch its network from the Hub if needed.

    Args:
        name: A built-in metric, or a user's own: `package.module:Class`,
            `./file.py:Class`, or an entry point in the group `nightsweep.metrics`.
        model: The metric's network, as `storage.models.networks.resolve_network`
            returns it; empty for `rmse`, `ssim`, `psnr`, and a user's own metric.
        device: `cpu`, `cuda:0` and so on.
        planned: Fingerprint that the network must have; None for any.
        digests: Where digests of weights are remembered.

    Raises:
        MetricError: There is no such metric, its package is missing, or its class is
            not a metric.
        ModelError: The network cannot be found or loaded.
        FingerprintError: The network is not the planned one.
        UnfitError: The network does not fit into the device's memory.
        DeviceError: The device is of no more use to this process.
    """
    kind = KINDS.get(name)
    if kind is None:
        return _own(resolve_source(name, Path.cwd()), model, device=device)
    found = find_networks(kind, model, download=True)
    if found is None:
        return _by_pixels(name)
    if planned:
        verify_networks(found, planned, digests=digests or Digests())
    return _by_network(name, found, device=device)


def _by_pixels(name: str) -> Metric:
    from workers.metrics.distances import Psnr, Rmse, Ssim

    classes: dict[str, type[Rmse | Psnr | Ssim]] = {
        each.name: each for each in (Rmse, Psnr, Ssim)
    }
    return classes[name]()


def _by_network(name: str, found: Found, *, device: str) -> Metric:
    from workers.metrics.similarities import Clip, ClipDistance, DinoDistance, PickScore

    classes: dict[str, type[Clip | ClipDistance | DinoDistance]] = {
        each.name: each for each in (Clip, PickScore, ClipDistance, DinoDistance)
    }
    return classes[name](found, device)


def _own(source: str, model: str, *, device: str) -> Metric:
    found = find_class(source)
    if model:
        msg = f"the metric {found.name} takes no model, got {model}; leave it out"
        raise MetricError(msg)
    try:
        made: Metric = found(device=device)
    except Exception as error:
        msg = (
            f"the class of the metric {source} must be made by `Class(device=...)`, but"
            f" fails with {in_words(error)}; mend its `__init__`"
        )
        raise MetricError(msg) from error
    size = getattr(made, "batch_size", None)
    if type(size) is not int or size < 1:
        msg = (
            f"a metric must have `batch_size`, 1 or more, but that of {source} has"
            f" {size!r}; add it to the class"
        )
        raise MetricError(msg)
    return made
