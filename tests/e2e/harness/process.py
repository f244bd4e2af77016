"""Programs under test: started, watched through their logs, and gone when the test is."""
import ctypes
import os
import re
import signal
import socket
import subprocess
import time
from pathlib import Path

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)
REPORT = []  # lines for the end of the run: figures that the issue asks to see


class Timeout(AssertionError):
    """A condition did not come true in time; says which."""


def report(line):
    """A measured figure. Printed now, and again at the end of the run where nobody can miss it."""
    REPORT.append(line)
    print("FIGURE " + line, flush=True)


def wait_until(condition, what, seconds=10.0, every=0.01):
    """The first true answer of `condition()`. Errors of a program that is not up yet count as false."""
    deadline = time.monotonic() + seconds
    last = None
    while True:
        try:
            answer = condition()
            last = None
            if answer:
                return answer
        except (OSError, ValueError, KeyError, IndexError) as error:
            last = error
        if time.monotonic() >= deadline:
            raise Timeout("waited %.1f s for %s%s" % (seconds, what, " (last: %r)" % last if last else ""))
        time.sleep(every)


def free_port(kind=socket.SOCK_STREAM, host="127.0.0.1"):
    """A port that is free now. For programs that cannot be asked which one they took."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind((host, 0))
        return probe.getsockname()[1]


def _child_setup():
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # a killed test run leaves nothing behind
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a test run in the background (`… &`) has it ignored, and who inherits that has no Ctrl-C


class Process:
    """One program. Its output is in `log`; `line()` waits for what it says."""

    def __init__(self, command, log, env=None, namespace=None, cwd=None):
        self.command = [str(part) for part in command]
        self.log = Path(log)
        full = (["ip", "netns", "exec", namespace] if namespace else []) + self.command
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("HERD_", "OLLAMA_", "NOTIFY_"))}
        environment.update(env or {})
        self._out = open(self.log, "ab")
        self._start_of_log = self._out.tell()
        self.started = time.monotonic()
        self.popen = subprocess.Popen(full, stdin=subprocess.DEVNULL, stdout=self._out, stderr=subprocess.STDOUT,
                                      env=environment, cwd=cwd, preexec_fn=_child_setup)

    @property
    def pid(self):
        return self.popen.pid

    def output(self):
        with open(self.log, "rb") as file:
            file.seek(self._start_of_log)
            return file.read().decode("utf-8", "replace")

    def line(self, pattern, seconds=10.0):
        """Waits for a line matching `pattern` and returns the match. Fails at once when the program ends first."""
        expression = re.compile(pattern, re.M)

        def look():
            found = expression.search(self.output())
            if found:
                return found
            if self.popen.poll() is not None:
                raise AssertionError("%s ended with %s before saying %r:\n%s"
                                     % (self.command[0], self.popen.returncode, pattern, self.output()[-4000:]))
            return None

        try:
            return wait_until(look, "%s to say %r" % (Path(self.command[0]).name, pattern), seconds, every=0.005)
        except Timeout as late:
            raise Timeout("%s; it said:\n%s" % (late, self.output()[-4000:])) from None

    def alive(self):
        return self.popen.poll() is None

    def signal(self, number):
        if self.alive():
            self.popen.send_signal(number)

    def kill(self):
        """As a power cut: no goodbye."""
        self.signal(signal.SIGKILL)
        self.wait(10)

    def wait(self, seconds):
        """The exit status, or Timeout."""
        try:
            return self.popen.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Timeout("%s still runs after %.1f s:\n%s" % (self.command[0], seconds, self.output()[-2000:])) from None

    def stop(self, grace=10.0):
        """As systemd: SIGTERM, patience, SIGKILL. Returns the exit status."""
        if self.alive():
            self.signal(signal.SIGCONT)
            self.signal(signal.SIGTERM)
            try:
                self.popen.wait(grace)
            except subprocess.TimeoutExpired:
                self.signal(signal.SIGKILL)
                self.popen.wait(10)
        self._out.close()
        return self.popen.returncode

    def rss_bytes(self):
        for line in Path("/proc/%d/status" % self.pid).read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        return 0

    def cpu_seconds(self):
        """CPU used by all threads so far, to the nanosecond."""
        return _cpu_seconds(self.pid)

    def children_cpu_seconds(self):
        """The same for the processes it started and that still run."""
        return sum(_cpu_seconds(int(pid)) for task in Path("/proc/%d/task" % self.pid).glob("*/children") for pid in task.read_text().split())


def _cpu_seconds(pid):
    return sum(int(Path(task, "schedstat").read_text().split()[0]) for task in Path("/proc/%d/task" % pid).iterdir()) / 1e9
