import base64

from playwright.sync_api import FloatRect, Page

from storage.files.images import ImageFolder
from tests.web.pictures import shown_value, shown_values
from tests.web.stores import FilledStore

WHOLE: FloatRect = {"x": 0, "y": 0, "width": 320, "height": 256}
QUARTER: FloatRect = {"x": 0, "y": 0, "width": 160, "height": 128}


def test_what_a_screen_shows_tells_which_image_it_is(
    page: Page, store: FilledStore
) -> None:
    cell = {"scheduler": "heun", "steps": 8, "seed": 1, "prompt": "a red fox in fog"}
    content = ImageFolder(store.settings.images).path(store.key(**cell)).read_bytes()
    shown = base64.b64encode(content).decode()
    page.set_content(
        f'<style>*{{margin:0}}</style><img src="data:image/png;base64,{shown}">'
    )
    assert shown_values(page, WHOLE) == cell
    assert shown_value(page, QUARTER, "scheduler") == "heun"
    assert shown_value(page, WHOLE, "scheduler") is None
