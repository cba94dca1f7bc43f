# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page as its reader has it, in a real browser. Every test also holds that the page complained of nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.nodetrust.harbor.plugins.plugin_utils._fleet_page import LARGEST, render
from ansible_collections.nodetrust.harbor.tests.report.browser import Browser, browser
from ansible_collections.nodetrust.harbor.tests.report.fleet import (
    HARBOR,
    MIRROR,
    answer,
    bundle,
    document,
    entry,
    registry,
    sample,
)

EVIL = [
    "<script>alert(1)</script>",
    "</script><script>alert(2)</script>",
    "<img src=x onerror=alert(3)>",
    "--><svg onload=alert(4)>",
    "@DATA@ ' \" & \\u003c",
    "javascript:alert(5)",
]
TILES = "[...document.querySelectorAll('.tile')].map(it => [it.dataset.state, +it.querySelector('b').textContent])"
USABLE = "[...document.querySelectorAll('.tile:enabled')].map(it => it.dataset.state)"
NAMES = "[...document.querySelectorAll('#rows .name')].map(one => one.textContent)"
STATES = "[...document.querySelectorAll('#rows tr[data-state]')].map(one => one.dataset.state)"


@pytest.fixture(scope="module")
def program() -> Iterator[Browser]:
    with browser() as made:
        yield made


class Page:
    """The page of one document, open."""

    def __init__(self, program: Browser, directory: Path) -> None:
        self.program, self._file = program, directory / "fleet.html"
        program.look()

    def show(self, found: dict[str, Any]) -> Page:
        self._file.write_text(render(found), encoding="utf-8")
        self.program.open(self._file)
        assert self.js("document.documentElement.dataset.ready") == "true", self.program.complaints()
        return self

    def js(self, expression: str) -> Any:
        return self.program.js(expression)

    def type(self, selector: str, value: str, event: str = "input") -> None:
        self.js(
            f"(() => {{ const it = document.querySelector({selector!r}); it.value = {value!r};"
            f" it.dispatchEvent(new Event({event!r}, {{bubbles: true}})); }})()"
        )

    def click(self, selector: str) -> None:
        self.js(f"document.querySelector({selector!r}).click()")

    def names(self) -> list[str]:
        found: list[str] = self.js(NAMES)
        return found


@pytest.fixture
def page(program: Browser, tmp_path: Path) -> Iterator[Page]:
    opened = Page(program, tmp_path)
    yield opened
    assert program.complaints() == []
    assert program.requests() == []


def test_the_fleet_at_a_glance(page: Page) -> None:
    found = sample(24)
    page.show(found)
    assert page.js("document.title") == "Fleet trust, correct_drift: needs a person"
    assert dict(page.js(TILES)) == found["counts"]
    assert page.js("document.querySelectorAll('#bar span:not([hidden])').length") == 6
    assert len(page.names()) == 24
    assert page.js("document.querySelectorAll('#warnings li').length") == len(found["warnings"])


def test_a_state_is_a_sign_and_a_word_not_a_colour_alone(page: Page) -> None:
    page.show(sample(24))
    both = "[...document.querySelectorAll('.mark')].every(it => it.querySelector('svg use') && it.textContent.trim())"
    assert page.js(both) is True
    signs = "[...new Set([...document.querySelectorAll('.tile use')].map(one => one.getAttribute('href')))]"
    assert len(page.js(signs)) == 6
    drawn = "[...document.querySelectorAll('.mark svg')].every(one => one.getBBox().width > 0)"
    assert page.js(drawn) is True


def test_filters(page: Page) -> None:
    page.show(sample(24))
    page.click(".tile.drifted")
    assert set(page.js(STATES)) == {"drifted"}
    assert page.js("document.querySelector('.tile.drifted').getAttribute('aria-pressed')") == "true"
    page.click(".tile.failed")
    assert set(page.js(STATES)) == {"drifted", "failed"}
    assert page.js("document.getElementById('found').textContent").startswith("4 of 24 nodes")
    page.click("#clear")
    assert len(page.names()) == 24
    page.type("#cluster", "north", "change")
    assert len(page.names()) == 12
    page.type("#search", "WORKER-0 runtime_stopped")
    assert page.names() == ["worker-05.north.example.com"]
    page.type("#search", "zone=south-a")
    assert page.names() == []


def test_with_a_registry_chosen_the_tiles_are_about_that_registry(page: Page) -> None:
    found = sample(24)
    page.show(found)
    page.click(".tile.drifted")
    page.type("#registry", MIRROR, "change")
    states = [
        one["state"] for node in found["nodes"] for one in node["registries"] if one["registry"] == MIRROR
    ]
    told = dict(page.js(TILES))
    assert told == {state: states.count(state) for state in found["counts"]}
    assert told["drifted"] == told["failed"] == 0 < found["counts"]["failed"]
    # Nobody has drifted there, and the tile that says so can still be let go.
    assert page.names() == []
    assert set(page.js(USABLE)) == {state for state in told if told[state]} | {"drifted"}
    page.click(".tile.drifted")
    assert page.js("document.querySelector('.tile.drifted').disabled") is True
    for state in ("corrected", "unknown"):
        page.click(f".tile.{state}")
        assert len(page.names()) == told[state] > 0
        page.click(f".tile.{state}")
    page.type("#registry", "", "change")
    assert dict(page.js(TILES)) == found["counts"]


def test_a_tile_says_what_a_click_on_it_would_show(page: Page) -> None:
    page.show(sample(24))
    page.type("#cluster", "north", "change")
    page.type("#search", "worker-1")
    for state, count in page.js(TILES):
        if count:
            page.click(f".tile.{state}")
            assert len(page.names()) == count
            page.click(f".tile.{state}")


def test_sorting_says_so(page: Page) -> None:
    page.show(sample(24))
    by_state = page.js(STATES)
    order = ["failed", "unreachable", "unknown", "drifted", "corrected", "ok"]
    assert by_state == sorted(by_state, key=order.index)
    said = "[...document.querySelectorAll('th[aria-sort]')].map(one => [one.dataset.key, one.ariaSort])"
    assert page.js(said) == [["state", "descending"]]
    page.click("[data-key=node] button")
    names = page.names()
    assert names == sorted(names)
    assert page.js(said) == [["node", "ascending"]]
    page.click("[data-key=node] button")
    assert page.names() == names[::-1]
    page.click(f'[data-key="r:{HARBOR}"] button')
    assert page.js(said) == [[f"r:{HARBOR}", "descending"]]
    first = page.js("document.querySelector('#rows tr').querySelectorAll('.mark')[1].textContent")
    assert first == "Unknown"


def test_numbers_in_names_are_numbers(page: Page) -> None:
    page.show(document([entry(f"n{number}", answer()) for number in (10, 9, 1)]))
    assert page.names() == ["n1", "n9", "n10"]


def test_a_node_opens_to_what_was_found_expected_done_and_how_to_fix(page: Page) -> None:
    given = answer(
        registry(found=[1, 2]),
        changed=True,
        changes=["create /x"],
        proof="failed",
        pulls=[
            {
                "registry": HARBOR,
                "ok": False,
                "reason": "unknown_authority",
                "message": "x509",
                "remedy": "Pin it.",
            }
        ],
    )
    found = document([entry(result=given, action="correct", labels={"zone": "a"})])
    page.show(found).click(".name")
    detail = page.js("document.querySelector('.detail').innerText")
    (item,) = found["nodes"][0]["registries"]
    for said in ("unknown_authority", "x509", "create /x", "How to fix: Pin it.", "zone=a", "not expected:"):
        assert said in detail
    assert all(pin in detail for pin in item["found_fingerprints"])
    page.click(".name")
    assert page.js("document.querySelector('.detail')") is None


@pytest.mark.parametrize("evil", EVIL)
def test_no_text_of_a_node_is_more_than_text(page: Page, evil: str) -> None:
    failure = {
        "failed": True,
        "msg": evil,
        "reason": evil,
        "next_step": evil,
        "found": evil,
        "expected": [evil],
    }
    told = registry(found=[], reasons=[evil], files=[evil])
    runtime = {"name": evil, "version": evil}
    found = document(
        [
            entry(evil, failure, cluster=evil, groups=[evil], labels={evil: evil}),
            entry("b" + evil, answer(told, changes=[evil], runtime=runtime), cluster="b"),
        ],
        [bundle(), bundle(evil, 2, served=1)],
        playbook=evil,
    )
    page.show(found)
    page.js("document.querySelectorAll('.name').forEach(one => one.click())")
    assert page.js("document.querySelectorAll('script').length") == 2
    assert page.js("document.querySelectorAll('img, #rows svg:not(.icon), iframe, a:not(.skip)').length") == 0
    assert page.js("document.querySelector('#rows .name').textContent") == evil
    assert evil in page.js("document.querySelector('.detail').textContent")
    page.type("#search", evil)
    assert len(page.names()) == 2


def test_the_policy_of_the_page_stops_a_script_that_came_in_all_the_same(
    program: Browser, tmp_path: Path
) -> None:
    path = tmp_path / "evil.html"
    content = render(document([entry(result=answer())]))
    path.write_text(content.replace("<main>", "<main><script>window.evil = 1</script><img src='data:,x'>"))
    program.open(path)
    assert program.js("window.evil") is None
    assert any("Content Security Policy" in said for said in program.complaints())
    policy = re.findall(r'Content-Security-Policy" content="([^"]+)"', content)
    assert policy and "unsafe" not in policy[0] and "http" not in policy[0]


CONTRAST = """
(selector => {
  const value = text => text.match(/[\\d.]+/g).map(Number);
  const linear = part => part <= .03928 ? part / 12.92 : ((part + .055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => .2126 * linear(r / 255) + .7152 * linear(g / 255) + .0722 * linear(b / 255);
  const it = document.querySelector(selector);
  let behind = it;
  while (value(getComputedStyle(behind).backgroundColor)[3] === 0) behind = behind.parentElement;
  const both = [getComputedStyle(it).color, getComputedStyle(behind).backgroundColor].map(value).map(light);
  return (Math.max(...both) + .05) / (Math.min(...both) + .05);
})"""


def contrast(page: Page, selector: str) -> float:
    """Of the text in an element with what lies behind it, as WCAG defines it."""
    return float(page.js(f"{CONTRAST}({selector!r})"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark_can_both_be_read(page: Page, scheme: str) -> None:
    page.program.look(scheme)
    page.show(sample(24))
    page.click(".name")
    background = page.js("getComputedStyle(document.body).backgroundColor")
    assert (sum(int(part) for part in re.findall(r"\d+", background)) > 384) == (scheme == "light")
    selectors = [
        f".tile.{state}" for state in ("ok", "corrected", "drifted", "unknown", "unreachable", "failed")
    ]
    for selector in [
        *selectors,
        ".status",
        "#run",
        ".name",
        ".fix",
        "dt",
        "#warnings li",
        "#expiry .what",
        "code",
    ]:
        assert contrast(page, selector) >= 4.5, selector


def test_a_phone_needs_no_sideways_scrolling(page: Page) -> None:
    page.program.look(width=360, height=740)
    page.show(sample(24))
    page.click(".name")
    assert page.js("document.documentElement.scrollWidth") <= 360
    assert (
        page.js(
            "document.querySelector('.scroll').scrollWidth - document.querySelector('.scroll').clientWidth"
        )
        <= 0
    )
    touched = "[...document.querySelectorAll('select, input, .tile, .plain')].filter(one => one.offsetParent)"
    assert page.js(f"{touched}.filter(one => one.offsetHeight < 36).length") == 0


def test_the_keyboard_reaches_everything(page: Page) -> None:
    page.show(sample(24))
    focused = (
        "document.activeElement.id || document.activeElement.className || document.activeElement.tagName"
    )
    page.program.key("Tab")
    assert page.js(focused) == "skip"
    assert page.js("document.activeElement.getBoundingClientRect().left") > 0
    page.program.key("Enter", text="\r")
    assert page.js(focused) == "nodes"
    page.program.key("Tab")
    assert page.js(focused) == "search"
    assert page.js("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    for _step in range(20):
        page.program.key("Tab")
        if page.js(focused) == "name":
            break
    page.program.key("Enter", text="\r")
    assert page.js("document.activeElement.getAttribute('aria-expanded')") == "true"
    assert page.js("document.querySelectorAll('.detail').length") == 1


def test_what_a_screen_reader_is_told(page: Page) -> None:
    page.program.look(width=360)
    page.show(sample(24))
    tree = page.program.call("Accessibility.getFullAXTree")["nodes"]
    told: dict[str, list[str]] = {}
    for node in tree:
        if not node.get("ignored"):
            told.setdefault(node["role"]["value"], []).append(node.get("name", {}).get("value", ""))
    for role in ("banner", "main", "contentinfo", "search", "table", "status"):
        assert len(told[role]) >= 1, role
    assert {"At a glance", "Expiry", "Nodes"} <= set(told["region"])
    # The table stays one on a phone, where it is drawn as cards.
    assert told["columnheader"] == ["Node", "Cluster", "State", HARBOR, MIRROR, "Runtime", "Why"]
    assert len(told["rowheader"]) == 24
    assert all(told["button"]) and all(told["searchbox"]) and all(told["combobox"])
    assert page.js("document.documentElement.lang") == "en"


def test_an_unfinished_run_says_so(page: Page) -> None:
    page.show(document([entry("a")], complete=False))
    assert "did not come to its end" in page.js("document.getElementById('run').textContent")
    assert "not the whole fleet" in page.js("document.getElementById('warnings').textContent")


def test_a_run_without_nodes_is_a_page_too(page: Page) -> None:
    page.show(document([], []))
    assert page.js("document.getElementById('found').textContent") == "0 of 0 nodes"


def test_five_thousand_nodes_come_in_pages(page: Page) -> None:
    content = sample(5000)
    page.show(content)
    assert len(page.names()) == 100
    assert page.js("document.querySelectorAll('*').length") < 5000
    assert page.js("document.getElementById('pages').textContent").count("Page 1 of 50") == 1
    page.click("[data-go=Next]")
    assert "shown 101 to 200" in page.js("document.getElementById('found').textContent")
    assert page.js("document.activeElement.dataset.go") == "Next"
    page.click("[data-go=Last]")
    assert page.js("document.querySelector('[data-go=Next]').disabled") is True
    page.type("#search", "worker-4999.")
    assert page.names() == ["worker-4999.north.example.com"]


def test_labels_stay_on_the_page_of_a_large_fleet() -> None:
    """As in a cluster: one label is the node's own, and the others stand on many."""
    told = [
        entry(
            f"worker-{number}",
            answer(),
            labels={"hostname": f"worker-{number}", **{f"example.com/{key}": "x" * 40 for key in range(20)}},
        )
        for number in range(5000)
    ]
    content = render(document(told))
    assert len(content) < LARGEST
    assert "hostname=worker-4999" in content
    assert "labels are left out" not in content


def test_the_page_stays_small_also_if_every_node_has_its_own_story() -> None:
    told = [
        entry(
            f"worker-{number}",
            {
                "failed": True,
                "msg": f"{number} " + "long " * 200,
                "reason": "x",
                "changed": True,
                "changes": [f"{number}"] * 9,
            },
            labels={f"key{other}": f"{number} {'x' * 60}" for other in range(32)},
        )
        for number in range(5000)
    ]
    content = render(document(told, [bundle(), bundle(MIRROR, 2)]))
    assert len(content) < LARGEST < 3_000_000
    assert "are cut on this page, and labels are left out" in content
