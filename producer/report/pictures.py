"""The images of a report: an example of each setting, and those of the claim."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from analysis.conclusion import cheaper_losses, rank_of
from analysis.settings import (
    Circumstances,
    Setting,
    circumstances_of,
    setting_of,
)
from analysis.trade_off import Judged, TradeOff
from producer.report.content import PictureGrid, PictureRow
from producer.report.thumbnails import thumbnails
from storage.image_address import ImageAddress

#: Pixels of the longer side: of an example beside the pointer, and in the grid.
EXAMPLE_PX = 128
GRID_PX = 256
#: Prompts in the grid.
MOST_PROMPTS = 4

Row = Mapping[str, Any]
#: A prompt, and what is equal within a pair of its images.
Subject = tuple[str, Circumstances]


def find_examples(
    rows: Iterable[Row], *, by: Sequence[str], images: ImageAddress
) -> dict[Setting, str | None]:
    """Return one image of each setting, of the same prompt and seed where there is one.

    Args:
        rows: Of the view `images`.
        by: The columns that are compared.
        images: The image folder.
    """
    by_subject = _by_subject(rows, by)
    if not by_subject:
        return {}
    ranked = sorted(by_subject.values(), key=len, reverse=True)
    found: dict[Setting, Row] = {}
    for settings in ranked:
        for setting, row in settings.items():
            found.setdefault(setting, row)
    paths = [row["path"] for row in found.values()]
    pictures = thumbnails(images, paths, longer_px=EXAMPLE_PX)
    return dict(zip(found, pictures, strict=True))


def picture_claim(
    rows: Iterable[Row], found: TradeOff, *, by: Sequence[str], images: ImageAddress
) -> PictureGrid | None:
    """Return images of the settings that the answer names, side by side.

    The columns are the answer, or the setting that loses least where there is no
    answer; the reference; and the cheapest setting of all as a contrast. The prompts
    are those that speak most against the first column, of those that have images of
    every column: a reader sees the worst cases.

    Returns:
        None if no file is there.
    """
    columns = _columns(found)
    by_subject = {
        subject: settings
        for subject, settings in _by_subject(rows, by).items()
        if all(one.setting in settings for one, _ in columns)
    }
    shown = [
        PictureRow(
            label=f"{prompt}, seed {where.seed}",
            pictures=thumbnails(
                images,
                [by_subject[prompt, where][one.setting]["path"] for one, _ in columns],
                longer_px=GRID_PX,
            ),
        )
        for prompt, where in _worst(by_subject, found)
    ]
    if not any(picture for row in shown for picture in row.pictures):
        return None
    return PictureGrid(
        columns=[f"{one.setting} ({why})" for one, why in columns],
        rows=shown,
        note=_note(columns, found),
    )


def _note(columns: Sequence[tuple[Judged, str]], found: TradeOff) -> str:
    note = "The same prompt and seed in each row."
    if columns[0][0] != found.best:
        note += (
            " In these images, the score of the first column falls furthest below that "
            "of the second."
        )
    return note


def _columns(found: TradeOff) -> list[tuple[Judged, str]]:
    columns = [(found.best, rank_of(found))]
    claimed = _claimed(found)
    if claimed != found.best:
        why = "the answer" if found.cheapest else "loses least of the cheaper ones"
        columns.insert(0, (claimed, why))
    cheapest = found.settings[0]
    if cheapest.cost is not None and cheapest not in [one for one, _ in columns]:
        columns.append((cheapest, "the cheapest"))
    return columns


def _claimed(found: TradeOff) -> Judged:
    """Return the setting that the reference is shown beside."""
    losses = cheaper_losses(found)
    return found.cheapest or (losses[-1] if losses else found.best)


def _by_subject(
    rows: Iterable[Row], by: Sequence[str]
) -> dict[Subject, dict[Setting, Row]]:
    by_subject: dict[Subject, dict[Setting, Row]] = defaultdict(dict)
    for row in rows:
        if row["path"]:
            subject = row["prompt"], circumstances_of(row, by)
            by_subject[subject].setdefault(setting_of(row, by), row)
    return by_subject


def _worst(
    by_subject: Mapping[Subject, Mapping[Setting, Row]], found: TradeOff
) -> list[Subject]:
    """Return one seed of each of the prompts in which the answer loses most."""
    answer = _claimed(found).setting
    sign = 1 if found.panel.higher_is_better else -1

    def gain(subject: Subject) -> float:
        settings = by_subject[subject]
        ours, theirs = settings[answer]["score"], settings[found.reference]["score"]
        return float("inf") if None in (ours, theirs) else sign * (ours - theirs)

    chosen: dict[str, Subject] = {}
    for subject in sorted(by_subject, key=gain):
        chosen.setdefault(subject[0], subject)
    return list(chosen.values())[:MOST_PROMPTS]
