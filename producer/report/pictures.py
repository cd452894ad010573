"""The images of a report: an example of each setting, and those of the claim."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from analysis.conclusion import cheaper_losses, rank_of
from analysis.settings import Setting, setting_of
from analysis.trade_off import Judged, TradeOff
from producer.report.content import PictureGrid, PictureRow
from producer.report.thumbnails import thumbnail

#: Pixels of the longer side: of an example beside the pointer, and in the grid.
EXAMPLE_PX = 128
GRID_PX = 256
#: Prompts in the grid.
MOST_PROMPTS = 4

Row = Mapping[str, Any]
#: Prompt and seed.
Subject = tuple[str, int]


def find_examples(
    rows: Iterable[Row], *, by: Sequence[str], images: Path
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
    return {
        setting: thumbnail(images / row["path"], longer_px=EXAMPLE_PX)
        for setting, row in found.items()
    }


def picture_claim(
    rows: Iterable[Row], found: TradeOff, *, by: Sequence[str], images: Path
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
            label=f"{prompt}, seed {seed}",
            pictures=[
                thumbnail(
                    images / by_subject[prompt, seed][one.setting]["path"],
                    longer_px=GRID_PX,
                )
                for one, _ in columns
            ],
        )
        for prompt, seed in _worst(by_subject, found)
    ]
    if not any(picture for row in shown for picture in row.pictures):
        return None
    return PictureGrid(
        columns=[f"{one.setting} ({why})" for one, why in columns],
        rows=shown,
        note=(
            "The same prompt and seed in each row. In these prompts, the score of the "
            "first column falls furthest below that of the second."
        ),
    )


def _columns(found: TradeOff) -> list[tuple[Judged, str]]:
    columns = [(_claimed(found), "the answer"), (found.best, rank_of(found))]
    if found.cheapest is None:
        columns[0] = (columns[0][0], "loses least of the cheaper ones")
    known = {one.setting for one, _ in columns}
    others = [one for one in found.settings if one.setting not in known]
    shown = columns[1:] if len(known) == 1 else columns
    return [*shown, *((one, "the cheapest") for one in others[:1])]


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
            subject = row["prompt"], row["seed"]
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
