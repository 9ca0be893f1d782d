"""The end-to-end tests of the processes, against containers: the same functions, another system."""

import ssl

import aiohttp
import pytest

from tests.e2e.test_guide_examples import (  # noqa: F401  (tests, collected here too)
    demo,
    test_an_error_looks_like_the_guides,
    test_ping_echoes_the_organization_and_the_apps_slug,
    test_the_guides_event_is_in_the_timeline_as_it_was_sent,
    test_the_guides_snapshot_is_the_latest_with_its_metrics_in_order,
)
from tests.e2e.test_partial_success import test_only_the_rejected_rows_are_mended_and_sent_again  # noqa: F401
from tests.e2e.test_prove import test_the_certificate_can_be_read  # noqa: F401
from tests.e2e.test_rebuild_live import test_live_is_rebuilt_and_put_in_place_while_it_serves  # noqa: F401
from tests.support.deployment import Deployment


async def test_the_gateway_speaks_https_by_the_deployments_ca_and_no_plain_http(deployment: Deployment) -> None:
    url = f"{deployment.gateway_urls[0]}/api/v1/ingest/ping"
    trusting = ssl.create_default_context(cafile=deployment.ca_file)
    async with aiohttp.ClientSession() as session:
        async with session.get(url, ssl=trusting) as answer:
            assert answer.status == 401
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await session.get(url, ssl=ssl.create_default_context())
        with pytest.raises(aiohttp.ClientError):
            await session.get(url.replace("https", "http"))


async def test_an_operator_works_by_the_command_line_in_a_container(deployment: Deployment) -> None:
    compose = deployment.compose
    founded = await compose("run", "--rm", "operator", "org", "create", "Acme", "--json")
    assert '"name": "Acme"' in founded
    assert "Acme" in await compose("run", "--rm", "operator", "org", "list")
    assert "ready" in await compose("run", "--rm", "operator", "status")
