"""Where nothing went to production, the executive page leads to the environments where it went."""

from pathlib import Path

from page_server import Open, PageServer, marker
from playwright.sync_api import expect


def test_an_empty_page_links_to_the_environments_with_deployments(
    open_page: Open, tmp_path: Path
) -> None:
    with PageServer(tmp_path, "") as served:
        served.mark(marker("shop", "1", "applied", 0, environment="demo"))
        page = open_page(served, "/exec", width=390)
        where = page.get_by_role("region", name="Environment")
        expect(where).to_contain_text("demo is shown, the only one.")
        expect(page.get_by_text("1 of 1 without a rollback")).to_be_visible()
        served.mark(
            marker("shop", "1", "applied", 0, environment="staging"),
            marker("cart", "1", "applied", 0, environment="staging"),
        )
        page.reload()
        expect(where).to_contain_text(
            "There are deployments of these days in staging (2) and demo (1)."
        )
        where.get_by_role("link", name="staging").click()
        expect(page).to_have_url(f"{served.url}/exec?environment=staging")
        expect(page.get_by_text("2 of 2 without a rollback")).to_be_visible()
        expect(where).to_have_count(0)
        page.go_back()
        expect(where).to_contain_text("No environment is production by its name")
