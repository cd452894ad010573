"""What a browser is refused, and what a prompt may not do."""

import re
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from playwright.sync_api import BrowserContext, Page, expect

from tests.web.complaints import Complaints
from tests.web.serving import Gallery, viewing
from tests.web.sight import GridSight
from tests.web.stores import SCRIPT, FilledStore

Browse = Callable[..., BrowserContext]
TOKEN = "only-for-this-test-0123456789"  # noqa: S105 - a gallery of the test
#: A site of somebody else, whose name the browser resolves to this machine.
FOREIGN = "http://foreign.test"
#: What it tries: to change something, and to show one of our images as its own.
ATTACK = """<body><script>
const body = JSON.stringify({{keys: ["{key}"], stars: 1}});
const options = {{method: "POST", mode: "no-cors", credentials: "include", body}};
fetch("{root}/api/rate", options).catch(() => 0).then(() => {{
  const image = new Image();
  image.onload = () => document.title = "shown";
  image.onerror = () => document.title = "refused";
  image.src = "{root}/image/{key}";
}});
</script>"""


def count_ratings(store: FilledStore, key: str) -> int:
    path = store.settings.database_path
    assert path
    query = "SELECT count(*) FROM ratings JOIN jobs ON jobs.id = job_id WHERE key = ?"
    with closing(sqlite3.connect(path, timeout=30)) as connection:
        (found,) = connection.execute(query, (key,)).fetchone()
    return int(found)


@contextmanager
def serving(text: str) -> Iterator[int]:
    """Serve a page from this machine; yield the port.

    Browsers keep pages of other machines from this one by themselves.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_said: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def post(page: Page, key: str, token: str | None = None) -> list[object]:
    """Rate an image from the page's own scripts; return the status and the answer."""
    answer: list[object] = page.evaluate(
        """async ([key, token]) => {
          const answer = await fetch("/api/rate", {
            method: "POST",
            headers: {"Content-Type": "application/json",
                      "X-Nightsweep-Token": token ?? document.body.dataset.token},
            body: JSON.stringify({keys: [key], stars: 2}),
          });
          return [answer.status, await answer.json()];
        }""",
        [key, token],
    )
    return answer


def test_who_does_not_know_the_token_sees_nothing(
    browse: Browse, store: FilledStore, complaints: Complaints
) -> None:
    with viewing(store.settings.home, "--token", TOKEN) as gallery:
        page = browse().new_page()
        for address in ("", "grid?q=palette", f"image/{store.key()}", "api/sweeps"):
            answer = page.goto(f"{gallery.root}/{address}")
            assert answer
            assert answer.status == 401
            assert "palette" not in answer.text()
        answer = page.goto(f"{gallery.root}/?token={TOKEN[:-1]}x")
        assert answer
        assert answer.status == 401
        page.goto(gallery.address)
        expect(page.get_by_role("heading", name="palette")).to_be_visible()
        assert TOKEN not in page.url
        page.goto(gallery.url("grid", q="single"))
        expect(page.get_by_role("grid")).to_be_visible()
        other = browse().new_page()
        refused = other.goto(gallery.url("grid", q="single"))
        assert refused
        assert refused.status == 401
        page.context.close()
    complaints.expect("status of 401")
    complaints.allow("favicon.ico")  # pages without ours ask for it


def test_a_name_of_somebody_else_that_leads_here_is_refused(
    page: Page, gallery: Gallery, complaints: Complaints
) -> None:
    port = gallery.root.rpartition(":")[2]
    answer = page.goto(f"{FOREIGN}:{port}/grid?q=palette")
    assert answer
    assert answer.status == 403
    assert "palette" not in answer.text()
    complaints.expect("status of 403")
    complaints.allow("Cross-Origin-Opener-Policy")  # for names without TLS


def test_another_site_can_neither_change_nor_show_anything(
    page: Page, gallery: Gallery, store: FilledStore, complaints: Complaints
) -> None:
    key = store.key(scheduler="unipc", seed=2, steps=4)
    attack = ATTACK.format(root=gallery.root, key=key)
    with serving(attack) as port:
        page.goto(f"{FOREIGN}:{port}/")
        expect(page).to_have_title("refused")
    assert count_ratings(store, key) == 0
    complaints.expect("NotSameOrigin")


def test_a_change_needs_the_token_of_the_page(
    page: Page, gallery: Gallery, store: FilledStore, complaints: Complaints
) -> None:
    key = store.key(scheduler="unipc", seed=2, steps=8)
    page.goto(gallery.url())
    status, said = post(page, key, token="0" * 64)
    assert status == 403
    assert "token" in str(said)
    assert count_ratings(store, key) == 0
    assert post(page, key) == [200, {"changed": 1}]
    assert count_ratings(store, key) == 1
    complaints.expect("status of 403")


def test_nothing_can_be_changed_in_read_only_mode(
    browse: Browse, store: FilledStore, complaints: Complaints
) -> None:
    key = store.key(scheduler="unipc", seed=2, steps=12)
    with viewing(store.settings.home, "--read-only") as gallery:
        page = browse().new_page()
        sight = GridSight(page)
        sight.open(gallery, "palette", rows="scheduler", cols="steps", slider="seed")
        expect(page.get_by_text("read only")).to_be_visible()
        expect(page.get_by_role("button", name="Make these")).to_be_hidden()
        sight.click("unipc", 12)
        page.keyboard.press("4")
        expect(page.get_by_role("status").filter(has_text="read only")).to_be_visible()
        status, said = post(page, key)
        assert status == 403
        assert "--read-only" in str(said)
        page.goto(gallery.url())
        expect(page.get_by_role("heading", name="palette")).to_be_visible()
        expect(page.get_by_role("button", name="Pause")).to_have_count(0)
        page.context.close()
    assert count_ratings(store, key) == 0
    complaints.expect("status of 403")


def test_a_script_in_a_prompt_is_text_on_every_page(
    page: Page, gallery: Gallery, store: FilledStore, complaints: Complaints
) -> None:
    key = next(one.job.key for one in store.letters if one.job.prompt == SCRIPT)
    sight = GridSight(page)
    sight.open(gallery, "letters", rows="prompt", cols="steps")
    label = page.locator(".grid-label").filter(has_text="<script>")
    expect(label).to_be_visible()
    label.hover()
    sight.click(SCRIPT, 20)
    page.keyboard.press("c")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("c")
    page.keyboard.press("t")
    dialog = page.get_by_role("dialog", name="Compare")
    expect(dialog.get_by_role("table").first).to_contain_text("<script>")
    page.keyboard.press("Escape")
    expect(page).not_to_have_title(re.compile("pwned"))
    page.goto(gallery.url(f"show/{key}"))
    expect(page.get_by_text("<script>").first).to_be_visible()
    page.goto(gallery.url("answer", q=f'letters prompt:"{SCRIPT[:20]}"'))
    expect(page.get_by_role("alert").or_(page.locator(".bad")).first).to_be_visible()
    complaints.expect("status of 400")  # images without scores have no answer
    expect(page).not_to_have_title(re.compile("pwned"))


def test_the_policy_runs_no_script_that_is_written_into_a_page(
    page: Page, gallery: Gallery, complaints: Complaints
) -> None:
    page.goto(gallery.url())
    expect(page.get_by_role("heading", name="palette")).to_be_visible()
    page.evaluate("""() => {
      const script = document.createElement("script");
      script.textContent = "document.title = 'pwned'";
      document.body.append(script);
      document.body.insertAdjacentHTML("beforeend",
        "<img src='data:,' onerror='document.title = `pwned`'>");
    }""")
    expect(page).not_to_have_title("pwned")
    complaints.expect("Content Security Policy")
