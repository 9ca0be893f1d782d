"""The shim between a parent and its children."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import psutil

from tests.support.up_process import gone
from wepeople_embedded.child import LAUNCHER, Child

PARENT = """
    import sys, time
    from pathlib import Path
    from wepeople_embedded.child import Child
    child = Child("sleep", ["sleep", "60"], log_path=Path(sys.argv[1]), ordinary_user=True)
    child.spawn()
    print(child.pid, flush=True)
    time.sleep(60)
"""


async def test_a_child_dies_when_its_parent_is_killed_without_a_chance_to_say_so(tmp_path: Path) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(PARENT), tmp_path / "log"], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    parent.wait()
    assert await gone([child], timeout_seconds=5)


async def test_a_child_has_its_own_session_so_that_a_terminals_ctrl_c_reaches_the_parent_alone(tmp_path: Path) -> None:
    child = Child("sleep", ["sleep", "60"], log_path=tmp_path / "log")
    child.spawn()
    try:
        while os.getsid(child.pid) == os.getsid(0):
            await asyncio.sleep(0.01)
        assert os.getsid(child.pid) == child.pid
    finally:
        assert await child.kill() == -signal.SIGKILL


async def test_a_program_that_refuses_root_never_sees_root(tmp_path: Path) -> None:
    child = Child("id", ["id", "-u"], log_path=tmp_path / "log", ordinary_user=True)
    child.spawn()
    assert await child.wait(10) == 0
    assert child.log_tail() != ["0"]


async def test_files_of_a_namespaced_child_belong_to_whoever_started_it(tmp_path: Path) -> None:
    child = Child("touch", ["touch", tmp_path / "made"], log_path=tmp_path / "log", ordinary_user=True)
    child.spawn()
    assert await child.wait(10) == 0
    assert (tmp_path / "made").stat().st_uid == os.getuid()


async def test_a_child_that_ignores_the_stop_signal_is_killed_in_time(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import signal, time; signal.signal(15, signal.SIG_IGN); print(1); time.sleep(60)"]
    child = Child("deaf", command, log_path=tmp_path / "log", environment={**os.environ, "PYTHONUNBUFFERED": "1"})
    child.spawn()
    while not child.log_tail():
        await asyncio.sleep(0.01)
    assert await child.stop(timeout_seconds=0.2) == -signal.SIGKILL


def test_where_namespaces_are_forbidden_root_is_told_what_to_do() -> None:
    # Inside a namespace of its own, so that the machine's limit stays as it is.
    forbid = (
        f'echo 0 > /proc/sys/user/max_user_namespaces; exec "{sys.executable}" "{LAUNCHER}" $$ 9 ordinary-user id -u'
    )
    result = subprocess.run(
        ["unshare", "--user", "--map-root-user", "sh", "-c", forbid],
        check=False,
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert result.returncode == 125
    assert "Run this as an ordinary user" in result.stderr
