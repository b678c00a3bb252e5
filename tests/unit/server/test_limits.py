"""What one client may ask for in new classifiers, counted by what they cost."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest

from classifiers.errors import ClassNamesError, LimitError, TemplateError
from server.limits import LimitKeeper, Limits


@dataclass
class Client:
    address: str = "203.0.113.1"

    @property
    def client(self) -> Any:
        return SimpleNamespace(host=self.address)


def keeper(**limits: int) -> LimitKeeper:
    none = {"requests_a_minute": 0, "new_heads_a_day": 0, "classes_a_head": 0, "prompts_a_head": 0}
    return LimitKeeper(Limits(**{**none, "prompts_a_day": 0, **limits}))


def test_a_head_of_too_many_prompts_is_refused_with_the_figures() -> None:
    limit = keeper(prompts_a_head=100)
    limit.count_new_head(Client(), 25, 100)
    with pytest.raises(TemplateError, match="26 classes in 4 templates make 104 prompts; 100 is"):
        limit.count_new_head(Client(), 26, 104)


def test_a_day_s_prompts_are_added_up() -> None:
    limit = keeper(prompts_a_day=100)
    limit.count_new_head(Client(), 10, 60)
    limit.count_new_head(Client(), 10, 40)
    with pytest.raises(LimitError, match="more than 100 prompts a day; try again in") as caught:
        limit.count_new_head(Client(), 1, 1)
    assert 0 < caught.value.seconds <= 24 * 3600


def test_one_client_does_not_use_up_what_another_may() -> None:
    limit = keeper(prompts_a_day=100)
    limit.count_new_head(Client(), 10, 100)
    limit.count_new_head(Client("203.0.113.2"), 10, 100)
    limit.count_new_head(Client("2001:db8:1:2::1"), 10, 100)
    for same in ("203.0.113.1", "2001:db8:1:2::ffff"):
        with pytest.raises(LimitError):
            limit.count_new_head(Client(same), 1, 1)


def test_what_is_refused_for_itself_is_not_counted() -> None:
    limit = keeper(classes_a_head=10, prompts_a_head=50, prompts_a_day=60, new_heads_a_day=1)
    with pytest.raises(ClassNamesError):
        limit.count_new_head(Client(), 11, 11)
    with pytest.raises(TemplateError):
        limit.count_new_head(Client(), 10, 60)
    limit.count_new_head(Client(), 10, 50)


def test_nothing_is_limited_where_nothing_is_set() -> None:
    limit = keeper()
    for _ in range(3):
        limit.count_new_head(Client(), 10**6, 10**8)
