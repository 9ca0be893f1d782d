"""`python bench/sampled.py MODULE FILE`: runs a service and notes where it is every few milliseconds of processor time.

Sampling costs about a percent, where a tracing profiler would make every small function look large. At the end FILE
holds `[[[frame, …], samples], …]` as JSON, innermost frame first; a frame is `path:function`. Imports nothing of the
project, so that it can run whatever the service is.
"""

import atexit
import json
import runpy
import signal
import sys
from collections import Counter
from pathlib import Path
from types import FrameType

EVERY_SECONDS = 0.001  # or the kernel's tick, which is longer on most machines

_samples: Counter[tuple[str, ...]] = Counter()


def _note(_number: int, frame: FrameType | None) -> None:
    stack = []
    while frame is not None:
        stack.append(f"{frame.f_code.co_filename}:{frame.f_code.co_qualname}")
        frame = frame.f_back
    _samples[tuple(stack)] += 1


def _write(file: Path) -> None:
    signal.setitimer(signal.ITIMER_PROF, 0)
    file.write_text(json.dumps([[list(stack), number] for stack, number in _samples.items()]))


if __name__ == "__main__":
    _, module, target = sys.argv
    sys.argv = [module]
    atexit.register(_write, Path(target))
    signal.signal(signal.SIGPROF, _note)
    # Python code that was interrupted in a system call goes on with it.
    signal.siginterrupt(signal.SIGPROF, False)
    signal.setitimer(signal.ITIMER_PROF, EVERY_SECONDS, EVERY_SECONDS)
    runpy.run_module(module, run_name="__main__", alter_sys=True)
