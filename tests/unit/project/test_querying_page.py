import re
from pathlib import Path

from storage.sql.schema import JOB_STATES, speeds
from storage.sql.views import (
    select_image_ratings,
    select_image_scores,
    select_images,
    select_sweep_images,
)

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "querying.md").read_text()
README = (ROOT / "README.md").read_text()
SQL_PAGE = (ROOT / "docs" / "sql.md").read_text()


def documented(view: str) -> list[str]:
    section = PAGE.partition(f"## The columns of `{view}`\n")[2].partition("\n## ")[0]
    return re.findall(r"^\| `(\w+)` \|", section, flags=re.MULTILINE)


def test_the_page_names_every_column_of_images_in_its_order() -> None:
    assert documented("images") == select_images().selected_columns.keys()


def test_the_page_names_every_column_of_sweep_images_in_its_order() -> None:
    every = [*documented("images"), *documented("sweep_images")]
    assert every == select_sweep_images().selected_columns.keys()


def test_the_page_names_every_column_of_image_scores_in_its_order() -> None:
    assert documented("image_scores") == select_image_scores().selected_columns.keys()


def test_the_page_names_every_column_of_image_ratings_in_its_order() -> None:
    assert documented("image_ratings") == select_image_ratings().selected_columns.keys()


def test_the_page_names_every_column_of_speeds_in_its_order() -> None:
    assert documented("speeds") == speeds.c.keys()


def test_the_page_gives_every_column_a_meaning_and_a_unit() -> None:
    tables = PAGE[PAGE.index("## The columns of `images`") :]
    rows = re.findall(r"^\| `\w+` \|.*$", tables, flags=re.MULTILINE)
    assert all(len(re.findall(r"(?<!\\)\| [^|\s]", row)) == 3 for row in rows)


def test_the_page_names_every_state() -> None:
    row = re.findall(r"^\| `state` \|.*$", PAGE, flags=re.MULTILINE)[0]
    assert all(f"`{state}`" in row for state in JOB_STATES)


def test_no_page_averages_shares_of_different_batches() -> None:
    statements = [
        text
        for page in (PAGE, README, SQL_PAGE)
        for text in re.findall(r"SELECT .*?(?=[;\"\n]\n|\"\))", page, re.DOTALL)
    ]
    shares = r"(avg|median|sum)\((denoise_s|total_s)\)"
    averaged = [text for text in statements if re.search(shares, text)]
    assert len(averaged) > 1
    assert [text for text in averaged if "batch_width" not in text] == []
