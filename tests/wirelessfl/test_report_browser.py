"""The report's page in a real browser, wide and as narrow as a phone: all of it is drawn, and nothing is asked of the network.

Without Chromium and its driver these tests are skipped; where WIRELESSFL_BROWSER_REQUIRED is set, they fail instead.
"""

import json
import os
import shutil

import plotly.graph_objects
import pytest
from report_runs import made
from selenium import webdriver
from selenium.webdriver.support.ui import WebDriverWait

from wirelessfl.report import report

PROGRAM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")
WIDE, PHONE = (1280, 900), (360, 740)
SECTIONS = ("headline", "curves", "round", "allocations", "spending", "bound", "settings", "made")
PLOTS = "return [...document.querySelectorAll('.plot')].map(p => [p.id, "


@pytest.fixture(scope="module")
def browser():
    if not (PROGRAM and DRIVER):
        assert not os.environ.get("WIRELESSFL_BROWSER_REQUIRED"), "no chromium and chromedriver, which this place must have"
        pytest.skip("no chromium and chromedriver here: the page is not looked at in a browser")
    options = webdriver.ChromeOptions()
    options.binary_location = PROGRAM
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    opened = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield opened
    opened.quit()


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    where = tmp_path_factory.mktemp("runs")
    runs = [made(where / "wide"), made(where / "narrow", "cell.bandwidth_mhz=0.5", "training.target_accuracy=0.9", "seeds=1")]
    return report(runs, where / "report.html")


def media(browser, scheme):
    """A reader who likes a ``scheme`` of colours, and no motion: what is scrolled to is there at once."""
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [
        {"name": "prefers-color-scheme", "value": scheme}, {"name": "prefers-reduced-motion", "value": "reduce"}]})


@pytest.fixture(scope="module", params=[WIDE, PHONE], ids=["wide", "phone"])
def shown(browser, path, request):
    """The page on a screen of a desk, and of a phone: loaded once for each, so that tests find what the one before left."""
    width, height = request.param
    screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    media(browser, "light")
    browser.get(path.as_uri())
    assert browser.execute_script("return document.documentElement.dataset.drawn") == "yes"
    return browser


def test_the_page_asks_for_nothing_and_has_no_errors(shown, path):
    seen = [json.loads(entry["message"])["message"] for entry in shown.get_log("performance")]
    asked = {each["params"]["request"]["url"] for each in seen if each["method"] == "Network.requestWillBeSent"}
    assert {url for url in asked if not url.startswith("data:")} <= {path.as_uri()}
    assert shown.get_log("browser") == []


def test_every_section_and_every_plot_is_there(shown):
    for name in SECTIONS:
        assert shown.find_element("id", name).size["height"] > 40
    marks = dict(shown.execute_script(PLOTS + "p.querySelectorAll('svg.main-svg .trace, svg.main-svg .bars').length])"))
    assert {"curves-A", "curves-B", "gantt", "given-band", "given-split", "energy-A", "traffic-B", "learnt-A"} <= marks.keys()
    assert all(marks.values()), marks


def test_plotly_knows_every_word_of_every_plot(shown):
    for name, text in shown.execute_script(PLOTS + "JSON.stringify({data: p.data, layout: p.layout})])"):
        assert plotly.graph_objects.Figure(json.loads(text)).data, name                        # it raises what it does not know


def test_no_screen_scrolls_sideways_but_tables_within_their_box(shown):
    whole, room = shown.execute_script("return [document.documentElement.scrollWidth, window.innerWidth]")
    assert whole <= room
    boxes = "[...document.querySelectorAll('.scroll')]"
    over = shown.execute_script(f"return {boxes}.filter(box => box.scrollWidth > box.clientWidth).length")
    assert room == WIDE[0] or over > 0
    shown.execute_script("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert shown.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")


def test_another_round_and_another_policy_are_drawn_when_they_are_chosen(shown):
    def words():
        return shown.find_element("id", "round-words").text

    first = words()
    assert first.startswith("Round 1, ")
    shown.execute_script("const r = document.getElementById('round-number'); r.value = 2; r.dispatchEvent(new Event('input'))")
    assert words().startswith("Round 3, ")
    shown.find_element("id", "round-slowest").click()
    long = shown.execute_script("return document.getElementById('gantt').layout.xaxis.range[1]")
    every = []
    for number in range(4):
        shown.execute_script("const r = document.getElementById('round-number'); r.value = arguments[0]; "
                             "r.dispatchEvent(new Event('input'))", number)
        every.append(shown.execute_script("return document.getElementById('gantt').layout.xaxis.range[1]"))
    assert long == max(every)
    before = shown.execute_script("return document.getElementById('given-band').data[0].y")
    shown.execute_script("const s = document.getElementById('given-who'); s.value = 1; s.dispatchEvent(new Event('change'))")
    after = shown.execute_script("return document.getElementById('given-band').data[0].y")
    assert before != after
    assert after == pytest.approx([4 / 3] * 12, rel=1e-3)                # equal shares of 4 MHz for three devices


def test_bars_of_a_round_end_where_it_ends(shown):
    """Stages and waiting together are the round's length, for each device."""
    bars = shown.execute_script("return document.getElementById('gantt').data.map(t => t.x)")
    ends = [sum(each) for each in zip(*bars, strict=True)]
    assert len(ends) == 3
    assert ends == pytest.approx([max(ends)] * 3, rel=2e-3)


def test_nothing_that_comes_in_can_run_or_ask(shown):
    shown.execute_script("const s = document.createElement('script'); s.textContent = 'window.bad = 1'; document.body.append(s)")
    assert shown.execute_script("return window.bad === undefined")
    asked = "const done = arguments[0]; fetch('https://example.org').then(() => done('through'), () => done('refused'))"
    assert shown.execute_async_script(asked) == "refused"
    assert all("Content Security Policy" in entry["message"] for entry in shown.get_log("browser"))


def test_a_dark_screen_gets_a_dark_page(shown):
    def light(what):
        colour = shown.execute_script(f"return {what}")
        if colour.startswith("#"):
            return sum(int(colour[at:at + 2], 16) for at in (1, 3, 5)) / 3
        return sum(map(int, colour.strip("rgb()").split(","))) / 3

    def until(holds):
        return WebDriverWait(shown, 20).until(lambda _: holds())

    paper, ink = "getComputedStyle(document.body).backgroundColor", "document.getElementById('curves-A').layout.font.color"
    assert light(paper) > 200 > 60 > light(ink)
    media(shown, "dark")
    assert until(lambda: light(paper) < 60 < 200 < light(ink))
    media(shown, "light")
    assert until(lambda: light(paper) > 200 > 60 > light(ink))


def test_on_paper_no_plot_is_wider_than_the_sheet(shown):
    """A4 and letter are more than 700 pixels wide between their margins."""
    widths = "return [...document.querySelectorAll('.plot')].map(plot => plot._fullLayout.width)"
    before = shown.execute_script(widths)
    shown.execute_script("window.dispatchEvent(new Event('beforeprint'))")
    assert shown.execute_script("return document.body.offsetWidth") < 700
    assert max(shown.execute_script(widths)) < 700
    shown.execute_script("window.dispatchEvent(new Event('afterprint'))")
    assert WebDriverWait(shown, 20).until(lambda _: shown.execute_script(widths) == before)
