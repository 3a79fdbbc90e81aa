"""What markers say is shown as text, whatever it is, on every page."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from page_server import Open, PageServer, marker
from playwright.sync_api import expect

SOURCES = Path(__file__).parents[2] / "web" / "src"
EVIL = "<img src=x onerror=alert(1)>"
ENDS = "</script><script>alert(2)</script>"
QUOTES = "\"'><svg onload=alert(3)>"


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageServer]:
    """A server of its own, because what is said to it is the worst of everything."""
    with PageServer(tmp_path_factory.mktemp("hostile"), "") as served:
        yield served


@pytest.fixture(scope="module")
def attacked(hostile: PageServer) -> str:
    """A deployment whose every text attacks whoever looks at it."""
    said = marker(
        EVIL,
        ENDS,
        "failed",
        0,
        owner=QUOTES,
        author=EVIL,
        reason=ENDS + EVIL,
        cluster=QUOTES,
        change_tickets=[EVIL, "javascript:alert(4)"],
        rollout={"strategy": "rolling"},
        build_url="javascript:alert(5)",
        links=[{"rel": EVIL, "href": "https://example.com/" + QUOTES}],
        labels={"note": EVIL},
        changes=[{"commit": "a1b2c3d", "ticket": EVIL, "title": ENDS}],
    )
    said["artifact"]["name"] = EVIL
    [result] = hostile.mark(said)
    return str(result["deployment_id"])


@pytest.mark.parametrize(
    "path",
    [
        "/oncall?dep={0}~1",
        "/debug?dep={0}~1",
        "/deployments",
        "/d/{0}~1",
        "/services",
        "/fleet",
        "/audit",
        "/exec",
    ],
)
def test_markup_in_markers_is_text(
    open_page: Open, hostile: PageServer, attacked: str, path: str
) -> None:
    page = open_page(hostile, path.format(attacked))
    asked: list[str] = []
    page.on("dialog", lambda dialog: asked.append(dialog.message))
    page.reload()
    expect(page.locator("main[aria-busy=true]")).to_have_count(0)
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    body = page.locator("body")
    if path != "/exec":
        expect(body).to_contain_text(EVIL)
    assert asked == []
    found = page.evaluate(
        "[document.querySelectorAll('#page img, #page svg[onload], #page script').length,"
        " [...document.querySelectorAll('#page a')].map((a) => a.protocol)"
        ".filter((p) => !['http:', 'https:'].includes(p))]"
    )
    assert found == [0, []]


def test_no_source_sets_markup() -> None:
    forbidden = re.compile(
        r"dangerouslySetInnerHTML|innerHTML|outerHTML|insertAdjacentHTML"
        r"|document\.write|\beval\(|new Function"
    )
    found = [
        f"{path.name}: {match.group()}"
        for path in SOURCES.rglob("*.ts*")
        for match in forbidden.finditer(path.read_text(encoding="utf-8"))
    ]
    assert found == []
