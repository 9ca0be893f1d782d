"""The system that the fault tests break: one for all of them, mended before each."""

from collections.abc import AsyncIterator

import pytest

from tests.support.breakable import Breakable, breakable_system


@pytest.fixture(scope="package")
async def _one_system(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Breakable]:
    async with breakable_system(tmp_path_factory.mktemp("breakable")) as running:
        yield running


@pytest.fixture
async def breakable(_one_system: Breakable) -> Breakable:
    """Every part runs and works; a test may leave it broken."""
    await _one_system.mend()
    return _one_system
