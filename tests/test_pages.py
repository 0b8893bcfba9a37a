"""Every Python block of README and of the pages runs as written, in order."""

import re
from pathlib import Path

import pytest
import sklearn

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_code_of_a_page_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # pages write files
    blocks = re.findall(r"^```python\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)
    assert blocks
    with sklearn.config_context():  # a page may switch metadata routing on
        namespace = {}
        for block in blocks:
            exec(compile(block, page.name, "exec"), namespace)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_links_of_a_page_lead_somewhere(page):
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_the_short_example_is_short_and_right():
    block = re.search(r"## In ten lines\n\n```python\n(.*?)```", PAGES[0].read_text(), re.DOTALL)[1]
    lines = [line for line in block.splitlines() if line.strip()]
    assert len(lines) <= 10
    namespace = {}
    exec(block, namespace)
    detector, digits = namespace["detector"], namespace["digits"]
    assert (detector.predict(digits.ood["letters"]) == -1).mean() > 0.9
    # 0.95 of the training data; of new ones 0.846 to 0.859 over the seeds 0 to 3.
    assert (detector.predict(digits.X_test) == 1).mean() > 0.8
    assert (detector.predict_class(digits.X_test) == digits.y_test).mean() > 0.9
