"""Texts as embeddings, each encoded once per worker, and alone."""

from collections import OrderedDict

from storage.job import Job
from workers.families import StableDiffusion, Texts

#: Texts that are remembered; a text of SDXL takes about a third of a megabyte.
MOST_TEXTS = 512


class TextCache:
    """The embeddings of the texts that were used last.

    A text is never encoded beside another one, so what a job gets does not depend on
    which jobs came before it.
    """

    def __init__(self, family: StableDiffusion) -> None:
        """Remember nothing yet."""
        self._family = family
        self._known: OrderedDict[tuple[str, int] | None, Texts] = OrderedDict()

    def prompt(self, job: Job) -> Texts:
        """Give the embeddings of a job's prompt."""
        return self._get((job.prompt, int(job.parameter("clip_skip"))))

    def negative(self, job: Job) -> Texts:
        """Give the embeddings of its negative prompt, which skips no layers."""
        return self._get((job.negative_prompt, 0) if job.negative_prompt else None)

    def _get(self, text: tuple[str, int] | None) -> Texts:
        if text not in self._known:
            encode = self._family.encode
            self._known[text] = encode(*text) if text else self._family.encode_nothing()
        self._known.move_to_end(text)
        if len(self._known) > MOST_TEXTS:
            self._known.popitem(last=False)
        return self._known[text]
