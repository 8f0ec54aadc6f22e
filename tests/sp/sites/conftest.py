"""Two nodes of one gateway with several sites, in this process, on one database."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab.cast import ALICE
from tests.sp.gateway.gate import Gate
from tests.sp.sites.browser import Browser, make_node


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Callable[..., Gate]]:
    """Return the function that makes a node; all nodes of a test share their database."""
    made: list[Gate] = []

    def make(**settings: object) -> Gate:
        made.append(make_node(tmp_path, **settings))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for gate in made:
        gate.core.database.engine.dispose()


@pytest.fixture
def nodes(node: Callable[..., Gate]) -> list[Gate]:
    """Two nodes."""
    return [node(), node()]


@pytest.fixture
def alice(nodes: list[Gate]) -> Browser:
    """Alice's browser, whose requests go to the two nodes in turn."""
    return Browser(nodes, ALICE.email)
