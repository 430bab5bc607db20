"""What is refused is told in one line."""

from __future__ import annotations

from collections.abc import Callable

import pytest

Errors = type[BaseException] | tuple[type[BaseException], ...]


def refusal(errors: Errors, act: Callable[[], object]) -> str:
    """The text of the error that this raises."""
    with pytest.raises(errors) as caught:
        act()
    text = str(caught.value)
    assert len(text.splitlines()) == 1
    return text
