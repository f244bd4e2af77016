"""What the programs cost while nothing happens. Prints the figures of the issue."""
import os
import time

import pytest

from harness import report, wait_until

SANITIZED = any(word in os.environ.get("HERD_BIN_DIR", "") for word in ("asan", "tsan"))


@pytest.mark.timing
@pytest.mark.slow
@pytest.mark.skipif(SANITIZED, reason="a sanitizer's weight is not the program's")
def test_idle_programs_are_light(sim_fleet):
    herd, nodes, sims = sim_fleet.simulated(2)
    herd.chat("llama3.2:3b")
    programs = {"herd": herd, "herd-node": nodes[0]}
    seconds = 10.0
    wait_until(lambda: herd.status()["requests"]["in_flight"] == 0, "an idle fleet")
    before = {name: process.cpu_seconds() for name, process in programs.items()}
    started = time.monotonic()
    time.sleep(seconds)  # the measurement itself
    span = time.monotonic() - started
    figures = {name: (process.rss_bytes() / 2**20, 100 * (process.cpu_seconds() - before[name]) / span) for name, process in programs.items()}
    for name, (rss, cpu) in figures.items():
        report("%s idle: RSS %.1f MB, CPU %.2f %% of a core over %.0f s" % (name, rss, cpu, span))
    rss, cpu = figures["herd-node"]
    assert rss < 20 and cpu < 1, figures
    assert figures["herd"][1] < 2, figures


@pytest.mark.timing
@pytest.mark.skipif(SANITIZED, reason="a sanitizer's weight is not the program's")
def test_a_thousand_requests_leave_nothing_behind(sim_fleet):
    herd, nodes, sims = sim_fleet.simulated(1)
    from harness import Connection

    def many(count):
        with Connection(herd.url) as connection:
            for _ in range(count):
                assert connection.request("POST", "/api/embed", {"model": "llama3.2:3b", "input": "x"}).status in (200, 400, 500, 501)
    many(200)
    before = (herd.rss_bytes(), nodes[0].rss_bytes())
    many(1000)
    grown = [(process.rss_bytes() - was) / 2**20 for process, was in zip((herd, nodes[0]), before)]
    report("after 1000 more requests: herd grew by %.1f MB, herd-node by %.1f MB" % tuple(grown))
    assert max(grown) < 4
    assert len(os.listdir("/proc/%d/fd" % herd.pid)) < 60
