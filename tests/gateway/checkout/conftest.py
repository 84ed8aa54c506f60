"""The shop that every test of checkouts is in."""

import pytest

from gateway.store.port import Store
from tests.gateway.checkout.cafe import Cafe


@pytest.fixture
def cafe(store: Store) -> Cafe:
    return Cafe(store)
