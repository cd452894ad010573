"""Embeddings of texts; a worker encodes each text alone, and caches it."""

from collections import OrderedDict
from collections.abc import Iterable

from storage.job import Job
from workers.devices.memory import total_bytes
from workers.engine.families import StableDiffusion, Texts

#: Share of the device's memory that the texts of one model may take. A text of Stable
#: Diffusion takes 0.1 MB, one of Flux 4 MB.
SHARE = 1 / 64

#: A text and the number of layers that it skips; None for an absent negative prompt.
Key = tuple[str, int] | None


class TextCache:
    """The embeddings of the most recently used texts.

    Each text is encoded alone, so a job's embeddings do not depend on other jobs.
    """

    def __init__(
        self, family: StableDiffusion, *, most_bytes: int | None = None
    ) -> None:
        """Begin empty.

        Args:
            family: The pipeline that encodes.
            most_bytes: Most bytes of all texts; None for `SHARE` of the memory.
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
        """Drop texts that none of these jobs has; return whether there were any."""
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
    # Of their storages: a text may be a view of a larger tensor.
    return sum(text.untyped_storage().nbytes() for text in texts.values())
