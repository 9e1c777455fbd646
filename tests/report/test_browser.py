"""The page in a real browser: headless Chromium."""

import pytest

from mnas.latency.table import LatencyTable
from mnas.report.facts import load_report_data
from mnas.report.page import study_page, table_page
from mnas.study.study import Study


@pytest.fixture(scope="module")
def page_file(finished, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(study_page(load_report_data(Study.open(finished))))
    return path


def _open(browser, path, **context):
    """A page, and all that went wrong or left the machine while it loaded."""
    page = browser.new_context(**context).new_page()
    trouble = []
    page.on("console", lambda message: trouble.append(message.text))
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on(
        "request", lambda request: None if request.url.startswith(("file:", "data:")) else trouble.append(request.url)
    )
    page.goto(path.as_uri())
    page.wait_for_selector(".plot .main-svg")
    return page, trouble


def test_every_plot_is_drawn_without_a_word_on_the_console_or_a_request(browser, page_file):
    page, trouble = _open(browser, page_file)
    assert page.locator(".plot").count() == 5
    for plot in page.locator(".plot").all():
        assert plot.locator(".scatterlayer .trace").count() >= 1, plot.get_attribute("id")
        assert len(plot.get_attribute("aria-label")) > 20
    assert page.locator("#plot-front .point").count() >= 80
    assert trouble == []


def test_pointing_at_a_trial_shows_its_architecture(browser, page_file):
    page, _ = _open(browser, page_file, viewport={"width": 1100, "height": 900})
    page.locator("#plot-front").scroll_into_view_if_needed()
    box = page.locator("#plot-front .scatterlayer .trace:last-child .point").first.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2 + 1, box["y"] + box["height"] / 2 + 1)
    text = page.locator("#plot-front .hoverlayer .hovertext").first
    text.wait_for(timeout=5000)
    assert "multiply-adds" in text.text_content()
    assert "_k3" in text.text_content() or "_k5" in text.text_content()


@pytest.mark.parametrize("width", [700, 1100])
def test_the_buttons_show_only_while_one_points_at_a_plot_and_cover_no_legend(browser, page_file, width):
    page, _ = _open(browser, page_file, viewport={"width": width, "height": 900})
    shown = "plot => Number(getComputedStyle(plot.querySelector('.modebar')).opacity)"
    for plot in page.locator(".plot").all():
        assert plot.evaluate(shown) == 0
        plot.scroll_into_view_if_needed()
        plot.hover()
        assert plot.evaluate(shown) == 1
        buttons = plot.locator(".modebar").bounding_box()
        assert buttons["y"] + buttons["height"] <= plot.bounding_box()["y"] + 1, "above the plot, legend and all"
    assert plot.locator(".modebar-btn").first.is_visible()
    page.locator("#plot-front").hover()
    page.emulate_media(media="print")
    assert not page.locator("#plot-front .modebar").is_visible()


@pytest.mark.parametrize("width", [320, 390])
def test_nothing_is_wider_than_a_phone(browser, page_file, width):
    page, trouble = _open(browser, page_file, viewport={"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("#plot-front .nsewdrag").first.bounding_box()["width"] > 0.6 * width
    assert trouble == []


def _contrast(page, selector):
    """WCAG's contrast ratio of an element's text on the page's ground."""
    return page.evaluate(
        """selector => {
            const light = text => {
                const [r, g, b] = text.match(/[\\d.]+/g).map(Number).map(v => v / 255)
                    .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
                return 0.2126 * r + 0.7152 * g + 0.0722 * b;
            };
            const ground = light(getComputedStyle(document.body).backgroundColor);
            const element = document.querySelector(selector);
            const ink = light(getComputedStyle(element)[element instanceof SVGElement ? "fill" : "color"]);
            return (Math.max(ground, ink) + 0.05) / (Math.min(ground, ink) + 0.05);
        }""",
        selector,
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_is_readable_in_both_schemes(browser, page_file, scheme):
    page, _ = _open(browser, page_file, color_scheme=scheme)
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (ground == "rgb(255, 255, 255)") == (scheme == "light")
    for selector in ("h1", "figcaption", ".verdict", "a", ".tile dt", "#plot-front .xtitle", "#plot-front .xtick text"):
        assert _contrast(page, selector) >= 4.5, selector


def test_paper_is_white_even_if_the_screen_is_dark(browser, page_file):
    page, _ = _open(browser, page_file, color_scheme="dark")
    page.emulate_media(media="print", color_scheme="dark")
    page.wait_for_timeout(300)
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert _contrast(page, "#plot-front .xtitle") >= 7
    for figure in page.locator("figure").all():
        drawn, caption = (figure.locator(what).first.bounding_box() for what in (".main-svg", "figcaption"))
        assert drawn["width"] <= 700, "as wide as paper"
        assert drawn["y"] + drawn["height"] <= caption["y"] + 1, "the caption is below the plot"
    assert page.pdf()[:4] == b"%PDF"


def test_a_table_s_page_is_drawn(browser, finished, tmp_path):
    path = tmp_path / "table.html"
    path.write_text(table_page(LatencyTable.load(finished.parent / "table.json"), "table"))
    page, trouble = _open(browser, path)
    assert page.locator("#plot-blocks .point").count() > 10
    assert trouble == []
