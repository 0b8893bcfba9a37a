"""A few hundred random cases; ten thousand are run by benchmarks/fuzzing.py."""

import zlib

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings

from .fuzzing import INSTANCES, cases, run


@pytest.mark.parametrize("name", INSTANCES)
def test_any_case_gives_a_result_in_its_range_or_an_error_on_purpose(name):
    @seed(zlib.crc32(name.encode()))
    @settings(
        max_examples=4, deadline=None, database=None,
        suppress_health_check=list(HealthCheck), phases=[Phase.generate],
    )
    @given(cases(names=(name,)))
    def check(case):
        run(case)

    check()
