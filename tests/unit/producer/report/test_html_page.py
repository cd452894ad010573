import base64
import hashlib
import html
import json
import re
from dataclasses import replace
from typing import Any

import pytest

from producer.report.content import (
    Chart,
    Content,
    PictureGrid,
    PictureRow,
    Table,
)
from producer.report.html_page import render

EVIL = "<script>alert('\N{SNOWMAN}')</script>\"'&amp;"
TABLE = Table(
    columns=("setting", "score"), rows=[(EVIL, "0.7")], numbers=frozenset({1})
)
CONTENT = Content(
    title=EVIL,
    question="Which scheduler?",
    answer=["ddim is.", EVIL],
    facts=[("prompts", "20")],
    charts=[
        Chart(
            name="trade-off",
            title="The trade-off",
            note="One point is one setting.",
            spec={"data": {"values": [{"setting": EVIL, "score": 0.7}]}},
            table=TABLE,
        )
    ],
    grid=PictureGrid(
        columns=[EVIL],
        rows=[PictureRow(label=EVIL, pictures=["data:image/webp;base64,AA==", None])],
        note="Look.",
    ),
    coverage=TABLE,
    failures=TABLE,
    environment=[("torch", EVIL)],
    spec=f"name: x # {EVIL}",
    commands=[f"nightsweep run {EVIL}"],
    caveats=[EVIL],
)


def _render(**changes: Any) -> str:
    content = replace(CONTENT, **changes)
    return render(content, made_at="2026-11-27", version="0.1.0")


def test_a_prompt_that_is_a_script_is_text_everywhere() -> None:
    page = _render()

    assert "<script>alert" not in page
    assert page.count("&lt;script&gt;alert") >= 10


def test_the_data_of_a_chart_cannot_end_its_script_element() -> None:
    page = _render()

    found = re.search(r'id="spec-trade-off">(.*?)</script>', page, re.DOTALL)
    assert found
    assert json.loads(found[1])["data"]["values"][0]["setting"] == EVIL


def test_the_policy_admits_the_pages_own_scripts_and_nothing_else() -> None:
    page = _render()

    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy
    scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    hashes = [
        base64.b64encode(hashlib.sha256(each.encode()).digest()).decode()
        for each in scripts
    ]
    admitted = " ".join(f"'sha256-{each}'" for each in hashes)
    assert len(hashes) == 4
    assert html.unescape(policy[1]) == (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src "
        f"{admitted}"
    )


def test_the_page_loads_nothing() -> None:
    page = re.sub(r"<script>.*?</script>", "", _render(), flags=re.DOTALL)

    assert not re.findall(r"""(?:src|href)=["'](?!data:)""", page)
    assert "@import" not in page
    assert "url(" not in page


def test_every_chart_has_its_numbers_as_a_table() -> None:
    page = _render()

    assert page.count("as a table</summary>") == len(CONTENT.charts)


def test_an_image_that_is_gone_has_a_word_in_its_place() -> None:
    page = _render()

    assert '<td class="none">no image</td>' in page


@pytest.mark.parametrize("name", ["failures", "grid", "spec"])
def test_what_there_is_none_of_is_left_out(name: str) -> None:
    whole, page = _render(), _render(**{name: None})

    heading = {
        "failures": "Failures</h2>",
        "grid": "See for yourself",
        "spec": "The sweep file",
    }[name]
    assert heading in whole
    assert heading not in page


def test_tables_name_their_rows_and_columns() -> None:
    page = _render()

    assert page.count('<th scope="col">setting</th>') == 3
    # In the table of the chart, in two others, and in the row of images.
    assert page.count('<th scope="row">&lt;script&gt;alert') == 4


def test_only_what_the_page_makes_a_stop_of_the_tab_key_is_one() -> None:
    assert "tabindex" not in _render().partition("<script>")[0]
