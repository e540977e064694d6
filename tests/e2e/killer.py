# SPDX-License-Identifier: EUPL-1.2
"""What kills api and node while a test goes on."""
import os
import random
import threading
import time

from cloud import check, wait_for

SEED = int(os.environ.get("CHAOS_SEED", str(int(time.time()))))
# Far more than it takes, on a busy machine too; a supervisor that waits ever longer before it starts a role again is seen.
ANSWER_AGAIN_S = 10.0


class Killer(threading.Thread):
    """Kills a role now and then, and measures how long the API is away."""

    def __init__(self, cloud, kills, pause_s):
        super().__init__()
        self.cloud, self.left, self.pause_s = cloud, kills, pause_s
        self.random = random.Random(SEED + 1)
        self.away_s, self.killed, self.failure = [], 0, None

    def run(self):
        try:
            while self.left > 0:
                time.sleep(self.random.uniform(*self.pause_s))
                role = self.random.choice(["api", "node"])
                if not self.cloud.kill(role):
                    continue
                self.left -= 1
                self.killed += 1
                began = time.monotonic()
                if role == "api":
                    wait_for("the API answers again", self.cloud.healthy, 60, 0.01)
                    self.away_s.append(time.monotonic() - began)
        except Exception as e:  # pylint: disable=broad-except
            self.failure = e

    def finish(self):
        """When it has killed enough: what it has seen."""
        self.join()
        if self.failure:
            raise self.failure
        worst = max(self.away_s, default=0)
        print(f"{self.killed} kills; the API was away {len(self.away_s)} times, at most {worst:.2f} s", flush=True)
        check(worst <= ANSWER_AGAIN_S, f"the API was away for {worst:.2f} s")
