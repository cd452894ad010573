"""What the gallery refuses, and the headers of every answer."""

import re
from pathlib import Path

import pytest

from gallery.security import HEADERS, MOST_BODY_BYTES
from tests.galleries import TOKEN, Visitor, served
from tests.unit.filled_store import filled, make_settings

KEY = "0" * 32
PAUSE = "/api/sweeps/shapes/pause"


def state(visitor: Visitor) -> str:
    return str(visitor.get("/api/sweeps").json["sweeps"][0]["state"])


@pytest.mark.parametrize(
    "path",
    ["/", "/grid", "/nothing", f"/image/{KEY}", "/api/sweeps", "/api/pivot?q=%22"],
)
def test_every_answer_has_the_headers(reader: Visitor, path: str) -> None:
    answer = reader.get(path)
    assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS
    assert "server" not in answer.headers


def test_the_policy_admits_no_inline_script_or_style(reader: Visitor) -> None:
    policy = reader.get("/").headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy


@pytest.mark.parametrize("path", ["/", "/grid", f"/show/{KEY}", "/answer"])
def test_no_page_has_an_inline_script_or_style(reader: Visitor, path: str) -> None:
    page = reader.get(path).text
    assert not re.search(r"<style|<[^>]* (style|on\w+)=", page)
    scripts = re.findall(r"<script([^>]*)>(.*?)</script>", page, re.DOTALL)
    assert scripts
    assert all(' src="/static/' in its and not text for its, text in scripts)


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost@evil.example", ""]
)
def test_a_name_that_resolves_here_is_refused(reader: Visitor, host: str) -> None:
    answer = reader.get("/api/sweeps", Host=host)
    assert answer.status == 403
    assert "another host" in answer.json["error"]
    assert reader.get("/", Host=host).status == 403


@pytest.mark.parametrize("host", ["localhost:9999", "127.0.0.1", "[::1]:8470"])
def test_the_port_may_be_that_of_a_tunnel(reader: Visitor, host: str) -> None:
    assert reader.get("/api/sweeps", Host=host).status == 200


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_other_methods_are_refused(reader: Visitor, method: str) -> None:
    answer = reader.ask(method, "/api/sweeps")
    assert answer.status == 405
    assert answer.headers["allow"] == "GET, HEAD, POST"


def test_a_change_by_a_link_is_refused(reader: Visitor) -> None:
    assert reader.get(PAUSE).status == 405
    assert state(reader) == "active"


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:3000"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"X_Nightsweep_Token": "0" * 64},
        {"X_Nightsweep_Token": TOKEN},
        {"X_Nightsweep_Token": "é"},
        {"X_Nightsweep_Token": ""},
    ],
)
def test_a_change_that_another_site_asks_for_is_refused(
    reader: Visitor, headers: dict[str, str]
) -> None:
    token = reader.token()
    usual = {"Content-Type": "application/json", "X_Nightsweep_Token": token}
    answer = reader.ask("POST", PAUSE, headers={**usual, **headers}, body="{}")
    assert answer.status == 403
    assert answer.json["error"]
    assert state(reader) == "active"


def test_a_form_of_another_site_is_refused(visitor: Visitor) -> None:
    form = "application/x-www-form-urlencoded"
    assert visitor.post(PAUSE, Content_Type=form).status == 415
    assert state(visitor) == "active"


def test_a_change_from_our_own_page_is_taken(visitor: Visitor) -> None:
    own = f"http://localhost:{visitor.port}"
    headers = {"Origin": own, "Host": own.removeprefix("http://")}
    answer = visitor.post(PAUSE, Sec_Fetch_Site="same-origin", **headers)
    assert answer.status == 200, answer.text
    assert state(visitor) == "paused"


def test_a_body_that_is_too_long_is_refused(visitor: Visitor) -> None:
    answer = visitor.post("/api/rate", {"keys": ["0" * MOST_BODY_BYTES]})
    assert answer.status == 413
    assert "1,000,000 bytes" in answer.json["error"]


def test_a_body_of_unknown_length_is_refused(reader: Visitor) -> None:
    token = reader.token()
    connection = reader.connect()
    headers = {"Content-Type": "application/json", "X-Nightsweep-Token": token}
    connection.request("POST", PAUSE, body=iter([b"{}"]), headers=headers)
    assert connection.getresponse().status == 411
    connection.close()
    assert state(reader) == "active"


@pytest.mark.parametrize("body", ["", "[]", "null", "{", "[" * 100_000, '"x"'])
def test_a_body_that_is_no_object_is_refused(reader: Visitor, body: str) -> None:
    headers = {"Content-Type": "application/json", "X-Nightsweep-Token": reader.token()}
    answer = reader.ask("POST", "/api/rate", headers=headers, body=body)
    assert answer.status == 400
    assert answer.json["error"] == "The body must be a JSON object."


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "no-cors"},
        {"Sec_Fetch_Site": "same-site", "Sec_Fetch_Mode": "cors"},
        {
            "Sec_Fetch_Site": "cross-site",
            "Sec_Fetch_Mode": "navigate",
            "Sec_Fetch_Dest": "iframe",
        },
    ],
)
def test_nothing_goes_into_pages_of_other_sites(
    reader: Visitor, headers: dict[str, str]
) -> None:
    assert reader.get("/api/sweeps", **headers).status == 403
    assert reader.get("/", **headers).status == 403


def test_a_link_on_another_site_may_lead_here(reader: Visitor) -> None:
    headers = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate"}
    assert reader.get("/grid?q=x", Sec_Fetch_Dest="document", **headers).status == 200


@pytest.mark.parametrize(
    "key",
    [
        "../../../etc/passwd",
        "..%2f..%2f..%2fetc%2fpasswd",
        "%2fetc%2fpasswd",
        f"{KEY}.png",
        KEY.upper().replace("0", "A"),
        f"{KEY}%00",
        f"{KEY}%0a",
        "%2e%2e",
        "",
    ],
)
@pytest.mark.parametrize("what", ["image", "thumb", "api/image"])
def test_a_path_is_made_of_nothing_but_a_key(
    reader: Visitor, what: str, key: str
) -> None:
    answer = reader.get(f"/{what}/{key}")
    assert answer.status in (400, 404)
    assert b"root" not in answer.body
    assert "image" not in answer.headers["content-type"]


@pytest.mark.parametrize(
    "name", ["..%2fapp.py", "../app.py", ".hidden.js", "base.html", "a%00.js", "x.js"]
)
def test_only_the_scripts_of_pages_are_sent(reader: Visitor, name: str) -> None:
    assert reader.get(f"/static/{name}").status == 404


def test_whoever_has_no_token_is_refused(tmp_path: Path) -> None:
    with served(filled(tmp_path)[0], needs_login=True) as visitor:
        for path in ("/", "/grid", "/api/sweeps", f"/image/{KEY}", "/static/theme.css"):
            answer = visitor.get(path)
            assert answer.status == 401
            assert "data-token" not in answer.text
        assert visitor.get("/?token=wrong").status == 401
        assert visitor.get("/?token=%C3%A9").status == 401
        assert visitor.post(PAUSE).status == 401


def test_the_token_logs_in_and_leaves_the_address(tmp_path: Path) -> None:
    with served(filled(tmp_path)[0], needs_login=True) as visitor:
        answer = visitor.get(f"/?token={TOKEN.replace(' ', '+')}")
        assert answer.status == 303
        assert answer.headers["location"] == "/"
        cookie, *flags = answer.headers["set-cookie"].split("; ")
        assert {"HttpOnly", "Path=/", "SameSite=strict"} <= set(flags)
        assert TOKEN not in cookie
        visitor.headers["Cookie"] = cookie
        assert visitor.get("/").status == 200
        assert visitor.post(PAUSE).status == 200


def test_the_token_is_no_use_at_another_name(tmp_path: Path) -> None:
    with served(filled(tmp_path)[0], needs_login=True) as visitor:
        answer = visitor.get(f"/?token={TOKEN.replace(' ', '+')}", Host="evil.example")
        assert answer.status == 403
        assert "set-cookie" not in answer.headers


def test_a_login_goes_on_to_the_query_and_nowhere_else(tmp_path: Path) -> None:
    with served(make_settings(tmp_path), needs_login=True) as visitor:
        token = TOKEN.replace(" ", "+")
        answer = visitor.get(f"/?token={token}&q=//evil.example")
        assert answer.headers["location"] == "/grid?q=%2F%2Fevil.example"


@pytest.mark.parametrize(
    "cookie", ["", "nightsweep_0=1", "=", "\x7f", 'a="', "nightsweep"]
)
def test_another_cookie_logs_nobody_in(tmp_path: Path, cookie: str) -> None:
    with served(make_settings(tmp_path), needs_login=True) as visitor:
        assert visitor.get("/", Cookie=cookie).status == 401


def test_nothing_changes_in_a_gallery_that_is_read_only(tmp_path: Path) -> None:
    settings, planned = filled(tmp_path)
    with served(settings, read_only=True) as visitor:
        assert 'data-read-only="1"' in visitor.get("/").text
        rating = {"keys": [planned[0].job.key], "stars": 5}
        asked = [
            (PAUSE, {}),
            ("/api/rate", rating),
            ("/api/vote", {}),
            ("/api/fill", {}),
            ("/api/add", {"q": "shapes", "combinations": [{}]}),
            (PAUSE.replace("pause", "start"), {}),
        ]
        for path, body in asked:
            answer = visitor.post(path, body)
            assert answer.status == 403
            assert "--read-only" in answer.json["error"]
        assert state(visitor) == "active"


def test_an_error_names_no_folder_of_this_machine(tmp_path: Path) -> None:
    settings, planned = filled(tmp_path)
    file = settings.images / planned[0].job.key[:2]
    with served(settings) as visitor:
        assert settings.database_path is not None
        settings.database_path.write_bytes(b"not a database" * 1000)
        for path in ("/api/sweeps", f"/api/image/{planned[0].job.key}"):
            answer = visitor.get(path)
            assert answer.status >= 400
            assert str(tmp_path) not in answer.text
            assert "Traceback" not in answer.text
    assert file.exists()
