"""The method that the guide writes is one like the others."""

import re
from pathlib import Path

from sklearn.utils.estimator_checks import parametrize_with_checks

EXAMPLE = Path(__file__).parents[1] / "examples" / "plot_own_method.py"


def written_method():
    """Return the class that the example defines, without running what it does with it."""
    code = EXAMPLE.read_text()
    imports = re.findall(r"^(?:from|import) .*$", code, re.MULTILINE)
    names = {"__name__": __name__}
    exec("\n".join([*imports, re.search(r"# begin\n(.*?)# end\n", code, re.DOTALL)[1]]), names)
    return names["EntropyExposureDetector"]


EntropyExposureDetector = written_method()  # pickles look for it by this name


def test_it_is_short():
    method = re.search(r"# begin\n(.*?)# end\n", EXAMPLE.read_text(), re.DOTALL)[1]
    assert len(method.splitlines()) < 60


FAST = {"max_epochs": 2, "module__hidden": (8,), "random_state": 0}


@parametrize_with_checks([EntropyExposureDetector(**FAST)])
def test_it_passes_the_checks_of_estimators(estimator, check):
    check(estimator)
