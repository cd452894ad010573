"""Whether an image that was made again is the stored one, and what differs if not."""

import base64
import io
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from PIL import Image

from producer.reproduction.pixels import Difference, compare
from storage.files.pictures import pixel_sha256
from storage.jobs.records import Made, Record

#: What became of an image, the best first.
VERDICTS = ("equal", "close", "different", "failed")
#: Levels by which `close` images differ at most: what the last bits of a picture come
#: to in 8 bits (`docs/engine.md`).
LAST_BITS = 1
#: Details of an environment that say nothing of a picture.
_SILENT = ("python",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What became of an image that was made again.

    Attributes:
        record: What is recorded of it.
        verdict: `equal`; `close`, where it differs by no more than the tolerance and a
            recorded condition explains that; `different`; or `failed`.
        difference: How far it is off; None where there is no file to compare with.
        conditions: What was recorded then, and what is now, where they differ.
        note: What else is to be said: why it failed, or what is wrong with its file.
    """

    record: Record
    verdict: str
    difference: Difference | None = None
    conditions: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    note: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        conditions = {
            name: {"then": then, "now": now}
            for name, (then, now) in self.conditions.items()
        }
        return {
            "key": self.record.key,
            "verdict": self.verdict,
            "difference": asdict(self.difference) if self.difference else None,
            "conditions": conditions,
            "note": self.note,
        }


def judge(
    record: Record,
    answer: Mapping[str, Any],
    *,
    stored: Image.Image | None,
    note: str | None = None,
    tolerance: int = LAST_BITS,
) -> Verdict:
    """Compare an image that was made again with the stored one.

    Args:
        record: Of an image that is made.
        answer: Of `workers.engine.reproduction`.
        stored: The image of its file; None where that cannot be opened. Then only the
            recorded hash of its pixels tells whether they are equal.
        note: Why it cannot be opened.
        tolerance: Levels by which a channel may differ.
    """
    made = record.made
    if made is None or "failure" in answer:
        return Verdict(record=record, verdict="failed", note=answer.get("failure"))
    image = Image.open(io.BytesIO(base64.b64decode(answer["png"]))).convert("RGB")
    conditions = dict(differing(made, answer))
    if stored is not None and stored.size != image.size:
        width, height = stored.size
        note = f"its file has {width} x {height} pixels; `nightsweep verify` says more"
        stored = None
    if stored is None:
        is_equal = pixel_sha256(image) == made.pixel_sha256
        verdict = "equal" if is_equal else "different"
        return Verdict(record=record, verdict=verdict, conditions=conditions, note=note)
    if pixel_sha256(stored) != made.pixel_sha256:
        note = "its file has other pixels than recorded; `nightsweep verify` says more"
    difference = compare(stored, image)
    return Verdict(
        record=record,
        verdict=_verdict(difference, tolerance, may_differ=bool(conditions)),
        difference=difference,
        conditions=conditions,
        note=note,
    )


def _verdict(difference: Difference, tolerance: int, *, may_differ: bool) -> str:
    if not difference.most:
        return "equal"
    is_close = may_differ and difference.most <= tolerance
    return "close" if is_close else "different"


def differing(made: Made, answer: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the conditions that differ: a name, and the values then and now."""
    on_cpu = not (made.details.get("cuda") or answer["details"].get("cuda"))
    yield from _changed("gpu", made.gpu, answer["gpu"])
    names = dict.fromkeys([*made.details, *answer["details"]])
    for name in names:
        if name not in _SILENT and (name != "threads" or on_cpu):
            then, now = made.details.get(name, ""), answer["details"].get(name, "")
            yield from _changed(name, then, now)
    yield from _changed("engine", made.engine, answer["engine"])
    yield from _changed("batch_width", made.batch_width, answer["batch_width"])
    yield from _changed("slot", made.slot, answer["slot"])
    if made.decode_dtype:
        yield from _changed("decode_dtype", made.decode_dtype, answer["decode_dtype"])


def _changed(name: str, then: object, now: object) -> Iterator[tuple[str, Any]]:
    if then != now:
        yield name, (then, now)
