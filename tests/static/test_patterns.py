"""The page of patterns, and with it the style sheets: nothing wider than the page, contrast in both themes."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.conftest import Browser
from tests.static.conftest import Site

# Text and its background as painted: OKLCH is brought to sRGB by a canvas, transparent backgrounds by their parents.
CONTRASTS = """() => {
  const context = Object.assign(document.createElement('canvas'), { width: 1, height: 1 }).getContext('2d');
  const rgba = (color) => {
    context.clearRect(0, 0, 1, 1);
    context.fillStyle = color;
    context.fillRect(0, 0, 1, 1);
    return [...context.getImageData(0, 0, 1, 1).data];
  };
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const background = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const color = rgba(getComputedStyle(at).backgroundColor);
      if (color[3] === 255) return color;
    }
    return [255, 255, 255, 255];
  };
  const found = [];
  for (const element of document.querySelectorAll('body *')) {
    const text = [...element.childNodes].filter((n) => n.nodeType === 3).map((n) => n.data.trim()).join('');
    const style = getComputedStyle(element);
    if (!text || !element.checkVisibility() || element.closest('svg, script, option, .skip')) continue;
    const [a, b] = [light(rgba(style.color)), light(background(element))].sort((x, y) => y - x);
    found.push([(a + 0.05) / (b + 0.05), text.slice(0, 40), element.className]);
  }
  return found;
}"""


@pytest.fixture
def html(client: Browser) -> str:
    answer = client.get("/patterns")
    assert answer.status_code == 200
    return answer.text


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_text_can_be_read(site: Site, html: str, theme: str) -> None:
    page = site.open(html, "/patterns")
    page.evaluate(f"document.documentElement.dataset.theme = '{theme}'")
    contrasts = page.evaluate(CONTRASTS)
    assert len(contrasts) > 100
    assert [entry for entry in contrasts if entry[0] < 4.5] == []


@pytest.mark.parametrize("width", [390, 768, 1280, 1920])
def test_nothing_is_wider_than_the_page(site: Site, html: str, width: int) -> None:
    page = site.open(html, "/patterns")
    page.set_viewport_size({"width": width, "height": 900})
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


def test_the_browser_has_nothing_to_complain_about(site: Site, html: str) -> None:
    page = site.open(html, "/patterns")
    page.wait_for_selector(".main-svg")  # Plotly has drawn, under the site's own security policy
    page.get_by_role("tab", name="Log").click()
    assert page.locator("#log").is_visible()
    assert site.problems == []


def test_the_theme_is_kept_and_applied_before_the_first_paint(site: Site, html: str) -> None:
    page = site.open(html, "/patterns")
    button = page.get_by_role("button", name="Theme")
    button.click()
    button.click()
    expect(button).to_have_text("Theme: dark")
    page.reload()
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    expect(page.get_by_role("button", name="Theme")).to_have_text("Theme: dark")


def test_a_question_is_asked_before_something_is_deleted(site: Site, html: str) -> None:
    page = site.open(html, "/patterns")
    page.locator(".confirm > summary").first.click()
    answer = page.get_by_role("button", name="Delete model")
    assert answer.is_visible()
    page.keyboard.press("Escape")
    assert not answer.is_visible()
