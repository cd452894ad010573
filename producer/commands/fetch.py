"""The command `nightsweep fetch`: what a sweep's models need, into the Hub's cache."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click

from producer.display.amounts import size
from producer.display.fetching import fetch_shown
from producer.display.hashing import tell_hashing
from producer.display.json_lines import json_option, write_json
from producer.display.messages import talk
from producer.expansion.expand import Expansion, read_jobs
from producer.models.cards import describe
from producer.options import spec_options, with_name
from producer.scoring.requested_metrics import read_metrics
from producer.submission.sources import find_source
from storage.errors import UsageError
from storage.metrics.identity import find_networks
from storage.metrics.kinds import default_network
from storage.models import hub
from storage.models.components import INDEX
from storage.models.control_nets import locate_control_net
from storage.models.downloads import free_bytes, require_room
from storage.models.fingerprint import Digests
from storage.models.hub_cache import cached_bytes
from storage.models.located import Located
from storage.models.model_files import is_builtin, is_hub_id, locate
from storage.models.networks import locate_network
from storage.settings import Settings, read_settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Needed:
    """A model, or a network of a metric, that is to be on this machine.

    Attributes:
        found: Where it is, and what of it is missing.
        fetch: Fetches that.
    """

    found: Located
    fetch: Callable[[], object]

    @property
    def missing_bytes(self) -> int:
        """Bytes that must still be fetched."""
        return sum(self.found.missing.values())

    def row(self) -> dict[str, Any]:
        """Return it as `--json` shows it."""
        return {
            "model": self.found.name,
            "commit": self.found.commit,
            "licence": self.found.licence,
            "files": list(self.found.files),
            "size_bytes": self.found.size_bytes,
            "missing_bytes": self.missing_bytes,
        }

    def line(self) -> str:
        """Return it in one line for people."""
        files = f"{len(self.found.files)} files, {size(self.found.size_bytes)}"
        licence = f", licence {self.found.licence}" if self.found.licence else ""
        missing = self.missing_bytes
        left = f"{size(missing)} to fetch" if missing else "here already"
        return f"{self.found.name}: {files}{licence}; {left}"


@click.command(epilog="Example: nightsweep fetch sweep.yaml --dry-run")
@spec_options
@click.option("--revision", metavar="NAME", help="Branch, tag or commit of a MODEL.")
@click.option("--variant", metavar="NAME", help="File variant of a MODEL, as fp16.")
@click.option("--dry-run", is_flag=True, help="Say what would be fetched, no more.")
@json_option
def fetch(
    spec: str, *, dry_run: bool, as_json: bool, name: str | None, **given: Any
) -> None:
    """Fetch what a sweep's models need from the Hub.

    SPEC is a YAML file, - for standard input, the name of a stored sweep, or a MODEL:
    a Hub id, org/name. Fetches the files that are loaded, and no others, into the Hub's
    cache (HF_HOME), those of the sweep's metrics too. Afterwards everything works
    without a connection (HF_HUB_OFFLINE=1). Ctrl-C or a crash loses little: the same
    command goes on from there. If another process fetches the same model, the command
    waits for it. `hf auth login`, or HF_TOKEN, opens private and gated models.
    """
    given["sets"] = with_name(given["sets"], name)
    needed = _unique(_find(spec, read_settings(), **given))
    if as_json:
        write_json(each.row() for each in needed)
    else:
        click.echo("\n".join(each.line() for each in needed))
    wanted = sum(each.missing_bytes for each in needed)
    require_room(spec, wanted)
    if wanted:
        talk(f"{size(wanted)} of {size(free_bytes())} free in {hub.cache_root()}.")
    if not dry_run:
        for each in needed:
            _fetch(each)


def _fetch(needed: Needed) -> None:
    if not needed.missing_bytes:
        return
    name = needed.found.name
    with fetch_shown(name, needed.missing_bytes, lambda: cached_bytes(name)):
        needed.fetch()
    talk(f"{name} is here, in {needed.found.folder}.")


def _find(
    spec: str,
    settings: Settings,
    *,
    sets: Sequence[str],
    axes: Sequence[str],
    revision: str | None,
    variant: str | None,
) -> Iterator[Needed]:
    if is_builtin(spec) or (is_hub_id(spec) and not Path(spec).is_file()):
        if sets or axes:
            msg = (
                "--set, --axis and --name are for a sweep, got a model; leave them out"
            )
            raise UsageError(msg)
        yield _model(spec, revision, variant)
        return
    if revision or variant:
        msg = "--revision and --variant are for a MODEL, got a sweep; name them in it"
        raise UsageError(msg)
    digests = Digests(
        settings.home / "digests.json", readonly=True, progress=tell_hashing
    )
    source = find_source(spec, settings, leave_no_trace=True)
    look = partial(describe, digests=digests)
    yield from _of_sweep(read_jobs(source, look, sets=sets, axes=axes))


def _of_sweep(expansion: Expansion) -> Iterator[Needed]:
    models = [card.model for card in expansion.models]
    for model in models:
        yield _needed(
            partial(
                locate,
                model.name,
                revision=model.commit or model.revision,
                variant=model.variant,
            )
        )
    for net in expansion.control_nets:
        yield _needed(partial(locate_control_net, net.part))
    for metric in read_metrics(expansion.spec):
        for model in models:
            network = metric.model or default_network(metric.kind, model.name)
            look = partial(find_networks, metric.kind, network)
            found = look(download=False)
            for place in found.places if found else ():
                yield Needed(found=place, fetch=partial(look, download=True))


def _model(name: str, revision: str | None, variant: str | None) -> Needed:
    """Find a model by name: a pipeline, or else a network as metrics use."""
    listing = hub.list_files(name, revision) if is_hub_id(name) else None
    if listing and INDEX not in listing.sizes and not variant:
        network = f"{name}@{revision}" if revision else name
        return _needed(partial(locate_network, network, types=()))
    return _needed(partial(locate, name, revision=revision, variant=variant))


def _needed(look: Callable[..., Located]) -> Needed:
    return Needed(found=look(download=False), fetch=partial(look, download=True))


def _unique(needed: Iterable[Needed]) -> list[Needed]:
    """Drop what is needed twice, as the network of a metric for each model."""
    return list(
        {(each.found.folder, each.found.files): each for each in needed}.values()
    )
