"""Numbers that people write, in whatever option."""

import pytest

from poolq.common.checks import number, whole
from poolq.errors import OptionError

HUGE = 10**5000  # Python refuses to show it


@pytest.mark.parametrize(
    "value", [0, -1, 1.0, 1.5, "2", None, True, 10, 10**12, pytest.param(HUGE, id="huge")]
)
def test_what_is_no_whole_number_in_its_range_is_refused(value: object) -> None:
    given = "a value too large to be shown" if value == HUGE else repr(value)
    with pytest.raises(OptionError) as caught:
        whole(value, "it", 9)
    assert str(caught.value) == f"it is {given}; it must be a whole number from 1 to 9"


@pytest.mark.parametrize("value", [2, -0.1, "0", None, True, float("nan"), float("inf")])
def test_what_is_no_share_is_refused(value: object) -> None:
    with pytest.raises(OptionError, match=r"^it is .*; it must be a number from 0 to 1$"):
        number(value, "it")
