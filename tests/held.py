"""A plugin: the loss `held`, which is nonsat and waits in step 350 while a file matches the pattern
in HELD_WHILE, until the run is told to stop. What a test does to the run can't come too late."""

from __future__ import annotations

import glob
import os
import signal
import time

from ganbench import hookimpl
from ganbench.builtin.losses.classic import nonsat


class Held:
    def __init__(self) -> None:
        self.loss, self.step = nonsat(), 0

    def d_loss(self, *args):
        return self.loss.d_loss(*args)

    def g_loss(self, *args):
        self.step += 1
        pattern = os.environ.get("HELD_WHILE", "")
        # While a run trains, the handler of SIGTERM is true once the run was told to stop.
        while self.step == 350 and glob.glob(pattern) and not signal.getsignal(signal.SIGTERM):
            time.sleep(0.01)
        return self.loss.g_loss(*args)


@hookimpl
def ganbench_losses():
    return {"held": Held}
