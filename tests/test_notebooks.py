"""The notebooks run from top to bottom, and what they say of their numbers is true of them."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).parents[1] / "examples"
NOTEBOOKS = sorted(path.stem for path in FOLDER.glob("*.ipynb"))

# Run in a last cell: what the texts of the notebook promise of its variables.
CHECKS = {
    "choose_threshold": """
        assert 1.5 * refused(detector, digits.X_train) < refused(detector, digits.X_test)
        low, high = false_alarm_law(n, 0.05).interval(0.9999)
        assert low - 0.03 < table.loc[0.05, "new digits"] < high + 0.03
        assert (table.diff().iloc[1:] >= 0).all(axis=None)
        assert picked.sum() < by_alpha.sum()
        assert guarded.calibration_.sizes.sum() == 200
    """,
    "guarded_service": """
        assert right.mean() > 0.95
        assert np.array_equal(loaded.predict(digits.X_test), guard.predict(digits.X_test))
        assert guard.calibration_.sizes.sum() == 240
        assert np.mean(guard.predict(digits.X_test) == -1) < 0.12
        assert np.mean(guard.predict(digits.ood["letters"]) == -1) > 0.5
        assert answer(digits.X_test[0])["answer"] in (*range(8), "unknown")
    """,
    "search_atom": """
        assert len(tried) == 4 and search.best_score_ == tried["mean_test_auroc"].max()
        assert search.score_samples(digits.X_test).shape == (len(digits.X_test),)
        assert report.loc["letters", "auroc"] > 0.9
    """,
}


def test_each_notebook_is_checked():
    assert sorted(CHECKS) == NOTEBOOKS


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_notebook_runs_and_keeps_its_word(name, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(FOLDER.parent))
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    check = "\n".join(line[8:] for line in CHECKS[name].splitlines())
    notebook.cells.append(nbformat.v4.new_code_cell(check))
    resources = {"metadata": {"path": str(FOLDER)}}
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources=resources).execute()


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_notebook_was_stored_with_its_results(name):
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    cells = [cell.execution_count for cell in notebook.cells if cell.cell_type == "code"]
    assert cells == list(range(1, len(cells) + 1))
    kinds = {output.output_type for output in outputs}
    assert kinds <= {"stream", "display_data", "execute_result"}
    texts = "".join(output.get("text", "") for output in outputs)
    assert "Warning" not in texts and "/home" not in texts and "/root" not in texts
