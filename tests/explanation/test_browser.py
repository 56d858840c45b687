"""The page in Chromium: no error, a click changes the picture, the numbers are the model's, hostile text does nothing.

It needs Debian's chromium and chromium-driver, and the package selenium; with MINIBERT_BROWSER=required, a skipped one fails.
"""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from explanations import pipeline_for

from minibert import explain

CHROMIUM, DRIVER = "/usr/bin/chromium", "/usr/bin/chromedriver"
MISSING = [path for path in (CHROMIUM, DRIVER) if not Path(path).exists()]
MISSING += [] if importlib.util.find_spec("selenium") else ["selenium"]
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(bool(MISSING), reason=f"a page is opened in Debian's Chromium; missing: {', '.join(MISSING)}"),
]


@pytest.fixture(scope="module")
def browser():
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    yield driver
    driver.quit()


def open_page(browser, explanation, folder, width=1280):
    explanation.save(folder / "page.html")
    mobile = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", mobile)
    browser.get((folder / "page.html").as_uri())


def text_of(browser, selector):
    return browser.find_element("css selector", selector).get_attribute("textContent")


def pixels(browser, selector):
    return browser.execute_script(
        "const c = document.querySelector(arguments[0]);"
        "return Array.from(c.getContext('2d').getImageData(0, 0, c.width, c.height).data)",
        selector,
    )


@pytest.mark.parametrize("width", [1280, 400])
def test_no_error_no_request_and_nothing_wider_than_the_screen(browser, course, tmp_path, width):
    browser.get_log("browser"), browser.get_log("performance")
    open_page(browser, course[1], tmp_path, width)
    assert browser.get_log("browser") == []
    requests = [
        entry["message"] for entry in browser.get_log("performance") if '"Network.requestWillBeSent"' in entry["message"]
    ]
    assert all("file:///" in request for request in requests) and len(requests) == 1
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width


def test_a_click_on_a_head_shows_what_its_token_looks_at(browser, course, tmp_path):
    _, explanation, _ = course
    open_page(browser, explanation, tmp_path)
    before = text_of(browser, "#head-sentence")
    button = browser.find_element("css selector", 'button[data-layer="1"][data-head="2"]')
    browser.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", button)
    button.click()
    after = text_of(browser, "#head-sentence")
    assert after != before and after.startswith("Layer 2, head 3: “[CLS]” looks at ")
    assert button.get_attribute("aria-pressed") == "true"
    assert len(browser.find_elements("css selector", 'button[aria-pressed="true"]')) == 1
    weights = explanation.array("layer.1.attention")[0, 2, 0]
    tokens = explanation.tokens[0]
    shown = [label.get_attribute("textContent") for label in browser.find_elements("css selector", "#head-drawing text")][1::2]
    percents = [int(label.removeprefix(token).strip().rstrip("%") or 0) for token, label in zip(tokens, shown, strict=True)]
    np.testing.assert_allclose(percents, np.rint(weights * 100), atol=0)


def test_heads_are_reached_and_chosen_with_the_keyboard(browser, course, tmp_path):
    open_page(browser, course[1], tmp_path)
    button = browser.find_element("css selector", 'button[data-layer="0"][data-head="1"]')
    browser.execute_script("arguments[0].focus()", button)
    button.send_keys("\ue007")  # enter
    assert text_of(browser, "#head-sentence").startswith("Layer 1, head 2:")
    browser.execute_script("const q = document.getElementById('query'); q.value = '5'; q.dispatchEvent(new Event('change'))")
    assert f"“{course[1].tokens[0][5]}” looks at" in text_of(browser, "#head-sentence")


def test_pictures_are_the_attention_and_the_embeddings(browser, course, tmp_path):
    _, explanation, _ = course
    open_page(browser, explanation, tmp_path)
    alpha = np.array(pixels(browser, 'button[data-layer="2"][data-head="4"] canvas')).reshape(-1, 4)[:, 3]
    weights = explanation.array("layer.2.attention")[0, 4].ravel()
    np.testing.assert_allclose((alpha / 255) ** 2, weights, atol=0.02)
    strip = np.array(pixels(browser, 'canvas[data-strip="sum"][data-row="1"]')).reshape(-1, 4)
    values = explanation.array("embeddings.sum")[0, :, :24]
    np.testing.assert_allclose((strip[:, 3] / 255) ** 2, np.abs(values[1]) / np.abs(values).max(), atol=0.02)
    clear = np.abs(values[1]) > 0.1 * np.abs(values).max()
    assert ((strip[:, 2] > strip[:, 0]) == (values[1] > 0))[clear].all()  # blue above zero, orange below


def test_the_other_label_and_a_word_s_changes_are_shown_when_chosen(browser, course, tmp_path):
    _, explanation, _ = course
    open_page(browser, explanation, tmp_path)

    def visible(selector):
        return browser.execute_script(
            "return [...document.querySelectorAll(arguments[0])].filter((e) => e.offsetParent !== null).length", selector
        )

    assert visible('div[data-target="0"]') == 2 and visible('div[data-target="1"]') == 0
    browser.execute_script("document.querySelector('input[data-target=\"1\"]').click()")
    assert visible('div[data-target="0"]') == 0 and visible('div[data-target="1"]') == 2
    word = explanation.changes[0][0]
    browser.execute_script(
        "const s = document.getElementById('changed-word'); s.value = arguments[0]; s.dispatchEvent(new Event('change'))",
        str(word),
    )
    assert visible("tr[data-word]") == visible(f'tr[data-word="{word}"]') == 4


def test_hostile_text_does_not_run(browser, tmp_path):
    pipe = pipeline_for("text-classification", tmp_path, "bert", max_position_embeddings=128)
    text = '</script><script>document.title = "owned"</script><img src=x onerror="document.title = 1">'
    explanation = explain(pipe, text, replacements=["<script>document.title = 2</script>"])
    browser.get_log("browser")
    open_page(browser, explanation, tmp_path)
    assert browser.title == f"How this text became “{explanation.answer}”" and browser.get_log("browser") == []
    assert text_of(browser, "blockquote") == text
