"""What an operator's command says when its work fails."""

import pytest
import typer

from wepeople_chassis.operator import Operator, run
from wepeople_chassis.stream import NobodyTakes


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            NobodyTakes([9, 8]),
            "no stream takes partition 8, 9 now; if that lasts, a split was broken off: `wepeople stream",
        ),
        (TimeoutError(), "NATS does not answer at nats://127.0.0.1:4222: no answer in time. Is the system running?"),
    ],
)
def test_a_failure_is_one_sentence_that_says_what_it_is(
    error: Exception, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WEPEOPLE_NATS_URL", "nats://127.0.0.1:4222")
    monkeypatch.setenv("WEPEOPLE_POSTGRES_DSN", "postgresql://wepeople_operator@127.0.0.1/wepeople")

    async def work(_: Operator) -> None:
        raise error

    with pytest.raises(typer.Exit) as ended:
        run(work)
    assert ended.value.exit_code == 1
    assert " ".join(capsys.readouterr().err.split()).startswith(said)
