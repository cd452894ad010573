"""Texts as embeddings, each encoded once per worker, and alone."""

from collections import OrderedDict
from collections.abc import Iterable

from storage.job import Job
from workers.devices.memory import total_bytes
from workers.engine.families import StableDiffusion, Texts

#: Share of the device's memory that the texts of one model may take. A text of Stable
#: Diffusion is a tenth of a megabyte, one of Flux four.
SHARE = 1 / 64

#: A text and the layers that it skips; None for a negative prompt that is not there.
Key = tuple[str, int] | None


class TextCache:
    """The embeddings of the texts that were used last.

    A text is never encoded beside another one, so what a job gets does not depend on
    which jobs came before it.
    """

    def __init__(
        self, family: StableDiffusion, *, most_bytes: int | None = None
    ) -> None:
        """Remember nothing yet.

        Args:
            family: The pipeline that encodes.
            most_bytes: What all texts may take; None for a share of the device.
        """
        self._family = family
        if most_bytes is None:
            most_bytes = int(SHARE * total_bytes(str(family.device)))
        self._most = most_bytes
        self._known: OrderedDict[Key, Texts] = OrderedDict()
        self._bytes = 0

    def prompt(self, job: Job) -> Texts:
        """Return the embeddings of a job's prompt."""
        return self._get(_prompt(job))

    def negative(self, job: Job) -> Texts:
        """Return the embeddings of its negative prompt, which skips no layers."""
        return self._get(_negative(job))

    def forget_all_but(self, jobs: Iterable[Job]) -> bool:
        """Give up texts that none of these jobs has; tell whether there were any."""
        kept = {key(job) for job in jobs for key in (_prompt, _negative)}
        gone = self._known.keys() - kept
        for text in gone:
            self._forget(text)
        return bool(gone)

    def _get(self, text: Key) -> Texts:
        known = self._known.get(text)
        if known is None:
            encode = self._family.encode
            known = encode(*text) if text else self._family.encode_nothing()
            self._known[text] = known
            self._bytes += _size(known)
        self._known.move_to_end(text)
        while self._bytes > self._most:
            self._forget(next(iter(self._known)))
        return known

    def _forget(self, text: Key) -> None:
        self._bytes -= _size(self._known.pop(text))


def _prompt(job: Job) -> Key:
    return (job.prompt, int(job.parameter("clip_skip")))


def _negative(job: Job) -> Key:
    return (job.negative_prompt, 0) if job.negative_prompt else None


def _size(texts: Texts) -> int:
    # Of what they hold on to: one may be a part of a larger tensor.
    return sum(text.untyped_storage().nbytes() for text in texts.values())
