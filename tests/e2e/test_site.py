"""The documentation site, opened as files in a browser without a network."""

from documentation_site import build_site


def test_the_site_is_read_and_searched_as_files_without_a_network(browser, tmp_path):
    build_site(tmp_path)
    context = browser.new_context(offline=True)
    page = context.new_page()
    asked, failed = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: failed.append(str(error)))
    page.goto((tmp_path / "index.html").as_uri())

    page.get_by_role("link", name="Inspection engineer", exact=True).last.click()
    page.wait_for_url("**/roles/inspection-engineer.html")
    page.get_by_placeholder("Search").fill("correct in place")
    page.locator(".md-search-result__item a").first.click()
    page.wait_for_url(lambda url: "inspection-engineer" not in url)

    assert failed == []
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
    context.close()
