"""The page in a real browser: words, pictures, clicks, back, and what goes wrong."""

import contextlib
import itertools
import re
import shutil

import pytest
from playwright import sync_api
from served import PAIR_NOTE, ColourModel, colours, served, square

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(not CHROMIUM, reason="needs Chromium in PATH, which pip does not install")
MARKUP = "<img src=x onerror=\"document.title='run'\"><script>document.title='run'</script>"
GIVE = """([how, bytes]) => {
    const files = new DataTransfer();
    files.items.add(new File([new Uint8Array(bytes)], "image.png", { type: "image/png" }));
    if (how === "paste")
        document.dispatchEvent(new ClipboardEvent("paste", { clipboardData: files, cancelable: true }));
    else
        for (const kind of ["dragenter", "dragover", "drop"])
            document.body.dispatchEvent(
                new DragEvent(kind, { dataTransfer: files, bubbles: true, cancelable: true }));
}"""


@pytest.fixture(scope="module")
def browser():
    sync_api.expect.set_options(timeout=30_000)  # as of a page below
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-quic"]
        )
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    with served(colours(tmp_path_factory.mktemp("browser") / "pictures")) as address:
        yield address


@contextlib.contextmanager
def opened(browser, address):
    """A server's page. Its console must stay silent, and it must ask no other host."""
    with browser.new_context(base_url=address) as context:
        page = context.new_page()
        page.set_default_timeout(30_000)
        messages, urls = [], []
        page.on("console", lambda message: messages.append(message.text))
        page.on("pageerror", lambda error: messages.append(str(error)))
        page.on("request", lambda request: urls.append(request.url))
        yield page
    # Chromium itself reports every 4xx.
    assert [line for line in messages if "responded with a status of 4" not in line] == []
    assert [url for url in urls if not url.startswith((address, f"blob:{address}"))] == []


@pytest.fixture
def page(browser, address):
    with opened(browser, address) as page:
        yield page


def heading(page, text):
    """Waits for a heading, looking at every frame."""
    page.wait_for_function("text => document.querySelector('h1')?.textContent.trim() === text", arg=text)


def cards(page, count=6):
    """The cards, once there are so many."""
    page.wait_for_function("count => document.querySelectorAll('#results .card').length === count", arg=count)
    return page.locator("#results .card")


def drawn(page):
    """Waits until all pictures that are seen have loaded."""
    page.wait_for_function("[...document.images].every(image => image.complete && image.naturalWidth > 0)")


def search(page, words):
    page.get_by_label("Words to search by").fill(words)
    page.keyboard.press("Enter")


def test_from_words_to_pictures_to_texts_and_back(page):
    page.goto("/")
    heading(page, "Pictures by words, words by pictures")
    cards(page)
    search(page, "something orange")
    heading(page, "Pictures for “something orange”")
    found = cards(page)
    drawn(page)
    assert found.first.get_by_role("img").get_attribute("alt") == "orange"
    distances = page.locator(".distance span:first-child").all_inner_texts()
    assert distances == [f"{distance} / 24" for distance in (0, 4, 12, 12, 12, 20)]
    assert "6 pictures, the nearest at distance 0 of 24." in page.get_by_role("status").inner_text()

    found.first.click()
    heading(page, "Texts for this picture")
    assert re.search(r"\?image=1$", page.url)
    assert cards(page).first.locator(".said").inner_text() == "something orange"
    drawn(page)

    page.locator("#results .card").nth(1).click()
    heading(page, "Pictures for “something red”")
    cards(page)
    page.go_back()
    heading(page, "Texts for this picture")
    page.go_back()
    heading(page, "Pictures for “something orange”")
    assert page.get_by_label("Words to search by").input_value() == "something orange"
    cards(page)
    page.go_back()
    heading(page, "Pictures by words, words by pictures")


def test_what_to_find_can_be_switched(page):
    page.goto("/?q=blue")
    heading(page, "Pictures for “blue”")
    page.get_by_label("Texts", exact=True).check()
    heading(page, "Texts for “blue”")
    assert cards(page).first.locator(".said").inner_text() == "something blue"
    page.goto("/?image=0&find=images")
    heading(page, "Pictures like this one")
    assert page.get_by_label("Pictures", exact=True).is_checked()


def test_a_picture_is_chosen_or_dropped_or_pasted(page):
    page.goto("/")
    page.locator("#file").set_input_files(
        {"name": "blue sky.png", "mimeType": "image/png", "buffer": square((0, 0, 255))}
    )
    heading(page, "Texts for your picture")
    assert cards(page).first.locator(".said").inner_text() == "something blue"
    assert page.get_by_text("blue sky.png").is_visible()
    assert page.get_by_alt_text("Your picture").is_visible()
    page.evaluate(GIVE, ["drop", list(square((255, 0, 0)))])
    first = page.locator("#results .said").first
    sync_api.expect(first).to_have_text("something red")
    assert page.locator("#drop").is_hidden()
    page.evaluate(GIVE, ["paste", list(square((0, 255, 0)))])
    sync_api.expect(first).to_have_text("something green")
    page.go_back()
    sync_api.expect(first).to_have_text("something red")


def test_an_index_of_pairs_takes_words_a_picture_or_both(browser, tmp_path):
    searcher = colours(tmp_path / "pictures", ColourModel(note=PAIR_NOTE), ("pair",))
    with served(searcher) as address, opened(browser, address) as page:
        page.goto("/")
        heading(page, "Pictures with words, by words, a picture or both")
        cards(page)
        search(page, "green")
        heading(page, "Pairs for “green”")
        first = cards(page).first
        drawn(page)
        assert first.locator(".name").inner_text() == "something green"
        assert page.locator("#find").is_hidden()
        search(page, "")
        page.evaluate(GIVE, ["drop", list(square((255, 255, 0)))])
        heading(page, "Pairs for your picture")
        search(page, "red")
        heading(page, "Pairs for your picture and “red”")
        assert re.search(r"\?q=red&picture=\d+$", page.url)
        names = cards(page).locator(".name")
        assert names.first.inner_text() == "something orange"
        page.get_by_role("link", name="Picture only").click()
        heading(page, "Pairs for your picture")
        page.go_back()
        heading(page, "Pairs for your picture and “red”")
        page.get_by_role("link", name="Words only").click()
        heading(page, "Pairs for “red”")
        sync_api.expect(names.first).to_have_text("something red")
        cards(page).first.click()
        heading(page, "Pairs like this one")
        assert re.search(r"\?pair=0$", page.url)


def test_errors_are_shown(page):
    page.goto("/")
    alert = page.get_by_role("alert")
    page.locator("#file").set_input_files(
        {"name": "broken.png", "mimeType": "image/png", "buffer": b"no picture"}
    )
    sync_api.expect(alert).to_contain_text("Picture: not a picture of a known format, expected JPEG")
    search(page, "whale")
    sync_api.expect(alert).to_have_text("Text 'whale': none of its words is known to the model.")
    heading(page, "Pictures for “whale”")
    cards(page, 0)
    page.goto("/?image=99")
    sync_api.expect(alert).to_have_text("No image 99; expected 0 to 5.")
    page.goto("/?picture=5")
    sync_api.expect(alert).to_have_text("The picture is no longer here. Drop it again.")
    search(page, "red")
    sync_api.expect(alert).to_be_hidden()
    cards(page)


def test_markup_in_items_and_in_words_is_text(browser, tmp_path):
    texts = [MARKUP, f"'\"`{MARKUP}", "red", "green", "blue", "white"]
    searcher = colours(tmp_path / "pictures", text=[{"id": text, "text": text} for text in texts])
    (tmp_path / "pictures" / "x onerror=1").mkdir()
    with served(searcher) as address, opened(browser, address) as page:
        for path in ("/?q=red&find=texts", "/?text=0", "/?text=1&find=texts"):
            page.goto(path)
            cards(page)
            assert page.locator("#results img[src=x], #query img, #results script").count() == 0
            assert page.title() != "run"
        heading(page, f"Texts for “'\"`{MARKUP}”")
        search(page, f"red {MARKUP}")
        heading(page, f"Pictures for “red {MARKUP}”")


def test_the_keyboard_is_enough(page):
    page.goto("/")
    cards(page)
    page.keyboard.press("/")
    page.keyboard.type("green")
    page.keyboard.press("Enter")
    heading(page, "Pictures for “green”")
    # The heading has the focus now; the first result is what comes after it.
    assert page.evaluate("document.activeElement.id") == "heading"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "card"
    page.keyboard.press("Enter")
    heading(page, "Texts for this picture")
    unnamed = page.evaluate(
        """[...document.querySelectorAll("a, button, input:not([aria-hidden])")].filter((one) =>
            one.checkVisibility()
            && !(one.textContent.trim() || one.labels?.length || one.querySelector("img[alt]"))).length"""
    )
    assert unnamed == 0


@pytest.mark.parametrize("width", [320, 870, 1000])
def test_a_page_does_not_scroll_sideways_and_nothing_of_its_head_covers_another_part(page, width):
    page.set_viewport_size({"width": width, "height": 640})
    for path in ("/", "/?image=0", "/?text=0&find=texts", "/?q=red"):
        page.goto(path)
        cards(page)
        assert page.evaluate("document.documentElement.scrollWidth") == width
    name, field, finds = (page.locator(where).bounding_box() for where in ("#brand", "#form", "#find"))
    assert name["height"] < 30  # one line
    rows = [[name, finds], [field]] if width < 860 else [[name, field, finds]]
    for left, right in (pair for row in rows for pair in itertools.pairwise(row)):
        assert left["x"] + left["width"] <= right["x"]


def test_show_more(page):
    page.goto("/?q=red&count=2")
    cards(page, 2)
    page.get_by_role("button", name="Show more").click()
    cards(page)
    assert page.evaluate("document.activeElement.closest('li').matches(':nth-child(3)')")
    assert page.get_by_role("button", name="Show more").is_hidden()
