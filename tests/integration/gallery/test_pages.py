"""Pages, scripts and images, as browsers get them."""

import re
from importlib.resources import files
from pathlib import Path

import pytest
from PIL import Image

from gallery.files import CHECKED, IMMUTABLE
from gallery.static_files import LIBRARIES
from storage.job import PlannedJob
from storage.settings import Settings
from tests.galleries import Visitor, served
from tests.unit.filled_store import finish, make_settings, plan, submit

Store = tuple[Settings, list[PlannedJob]]


@pytest.mark.parametrize(
    ("path", "page"),
    [
        ("/", "sweeps"),
        ("/grid?q=shapes", "grid"),
        (f"/show/{'0' * 32}", "image"),
        ("/answer", "answer"),
    ],
)
def test_a_page_is_a_shell_for_its_script(
    reader: Visitor, path: str, page: str
) -> None:
    answer = reader.get(path)
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert f'<body data-page="{page}"' in answer.text
    assert f'src="/static/{page}.js?v=' in answer.text
    assert '<main id="main"' in answer.text
    assert 'data-read-only="0" data-who="ada"' in answer.text


def test_the_script_of_the_answer_runs_after_the_libraries(reader: Visitor) -> None:
    page = reader.get("/answer").text
    scripts = re.findall(r'<script[^>]* src="/static/([^?]+)', page)
    assert scripts[-4:] == [*LIBRARIES, "answer.js"]


def test_a_name_with_signs_of_html_stays_text(store: Store) -> None:
    with served(store[0], who='"><script>alert(1)</script>') as visitor:
        assert "<script>alert" not in visitor.get("/").text


def test_a_page_that_is_none_says_so(reader: Visitor) -> None:
    answer = reader.get("/nothing")
    assert answer.status == 404
    assert "must be one of the gallery's" in answer.text


@pytest.mark.parametrize("path", ["/grid/", "/api/sweeps/"])
def test_a_slash_too_many_leads_nowhere(reader: Visitor, path: str) -> None:
    assert reader.get(path).status == 404


def test_a_library_is_sent_once(reader: Visitor) -> None:
    answer = reader.get("/static/vega.min.js")
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
    assert answer.body == (files("analysis") / "vega" / "vega.min.js").read_bytes()
    tag = answer.headers["etag"]
    again = reader.get("/static/vega.min.js", If_None_Match=tag)
    assert (again.status, again.body) == (304, b"")


@pytest.mark.parametrize("path", ["/", "/grid", "/answer"])
def test_what_a_page_loads_is_kept_and_its_address_changes_with_it(
    reader: Visitor, path: str
) -> None:
    text = reader.get(path).text
    found = re.findall(r'(?:src|href)="(/static/[^"]+)"', text)
    assert len(found) >= 4
    for address in found:
        answer = reader.get(address)
        assert answer.headers["cache-control"] == IMMUTABLE, address
        named = answer.headers["etag"].strip('"')
        assert address.endswith(f"?v={named}")
        other = reader.get(f"{address}0").headers["cache-control"]
        assert other == CHECKED


def test_an_image_is_its_file(reader: Visitor, kept_store: Store) -> None:
    key = kept_store[1][0].job.key
    answer = reader.get(f"/image/{key}")
    assert answer.status == 200
    assert answer.headers["content-type"] == "image/png"
    path = kept_store[0].images / key[:2] / key[2:4] / f"{key}.png"
    assert answer.body == path.read_bytes()
    assert "content-disposition" not in answer.headers


def test_an_image_can_be_saved(reader: Visitor, kept_store: Store) -> None:
    key = kept_store[1][0].job.key
    answer = reader.get(f"/image/{key}?download=1")
    wanted = f'attachment; filename="{key}.png"'
    assert answer.headers["content-disposition"] == wanted


def test_an_image_is_asked_about_again_unless_its_address_says_which(
    reader: Visitor, kept_store: Store
) -> None:
    path = f"/image/{kept_store[1][0].job.key}"
    answer = reader.get(path)
    assert answer.headers["cache-control"] == "private, no-cache"
    again = reader.get(path, If_None_Match=answer.headers["etag"])
    assert (again.status, again.body) == (304, b"")
    known = reader.get(f"{path}?v=0123abcd").headers["cache-control"]
    assert known == "private, max-age=31536000, immutable"


@pytest.mark.parametrize("what", ["image", "thumb"])
def test_an_image_that_is_not_made_is_not_there(
    reader: Visitor, kept_store: Store, what: str
) -> None:
    for key in (kept_store[1][7].job.key, "0" * 32):
        answer = reader.get(f"/{what}/{key}")
        assert answer.status == 404
        assert f"{key} has no file" in answer.text


def test_a_small_image_is_its_own_thumbnail(reader: Visitor, kept_store: Store) -> None:
    key = kept_store[1][0].job.key
    answer = reader.get(f"/thumb/{key}")
    assert answer.headers["content-type"] == "image/png"
    assert answer.body == reader.get(f"/image/{key}").body


def test_a_large_image_gets_a_thumbnail_where_it_has_none(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    planned = plan({"steps": (2,)}, width=320, height=512)
    submit(settings, "large", planned)
    finish(settings, planned)
    with served(settings) as visitor:
        answer = visitor.get(f"/thumb/{planned[0].job.key}")
    assert answer.headers["content-type"] == "image/webp"
    (tmp_path / "thumb.webp").write_bytes(answer.body)
    with Image.open(tmp_path / "thumb.webp") as image:
        assert image.size == (160, 256)


def test_pages_work_before_anything_was_submitted(tmp_path: Path) -> None:
    with served(make_settings(tmp_path)) as visitor:
        assert visitor.get("/").status == 200
        assert visitor.get("/api/sweeps").json == {"sweeps": [], "workers": []}
        answer = visitor.get("/api/pivot?q=")
        assert answer.status == 400
        assert "none was submitted yet" in answer.json["error"]
