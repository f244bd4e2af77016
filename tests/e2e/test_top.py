"""`herd top` on a terminal of its own: it draws, follows the size, leaves the terminal as it was."""
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios

import pytest

from harness import wait_until
from harness.process import _child_setup
from harness.programs import program

ENTER, LEAVE = "\x1b[?1049h", "\x1b[?25h\x1b[?1049l"


class OnTerminal:
    """A program on a pseudo terminal; what it wrote is in `seen`."""

    def __init__(self, command, columns=100, lines=24):
        self.master, slave = pty.openpty()
        self.resize(columns, lines)
        self.before = termios.tcgetattr(slave)
        self.slave = slave
        self.popen = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, preexec_fn=self._own,
                                      env={**os.environ, "TERM": "xterm-256color", "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"})
        self.seen = ""

    @staticmethod
    def _own():
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        _child_setup()

    def resize(self, columns, lines):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def read(self):
        while select.select([self.master], [], [], 0)[0]:
            try:
                self.seen += os.read(self.master, 65536).decode("utf-8", "replace")
            except OSError:
                break
        return self.seen

    def wait_for(self, text, seconds=5.0):
        wait_until(lambda: text in self.read(), "%r on the terminal" % text, seconds)

    def type(self, keys):
        os.write(self.master, keys.encode())

    def end(self, seconds=5.0):
        code = wait_until(lambda: (self.read(), self.popen.poll())[1] is not None and [self.popen.returncode], "herd top to end", seconds)[0]
        self.read()
        restored = termios.tcgetattr(self.slave)
        os.close(self.slave)
        os.close(self.master)
        assert self.seen.rstrip().endswith(LEAVE), "the screen was not given back: %r" % self.seen[-60:]
        assert restored[3] == self.before[3], "the terminal's modes were not given back"
        return code


@pytest.mark.parametrize("leave", ["q", "\x03", "term"])
def test_top_draws_and_leaves_the_terminal_as_it_was(sim_fleet, leave):
    herd, _, _ = sim_fleet.simulated(2)
    top = OnTerminal([str(program("herd")), "top", "--url", herd.url])
    top.wait_for("2 of 2 nodes online")
    assert top.seen.startswith(ENTER)
    top.wait_for("q quit")
    top.popen.send_signal(signal.SIGTERM) if leave == "term" else top.type(leave)
    assert top.end() == 0


def test_top_follows_the_size_and_the_fleet(sim_fleet):
    herd, nodes, _ = sim_fleet.simulated(2)
    top = OnTerminal([str(program("herd")), "top", "--url", herd.url])
    top.wait_for("q quit")
    top.seen = ""
    top.resize(50, 10)
    top.wait_for("\x1b[10;1H")  # the last line of the new size
    nodes[0].kill()
    herd.wait_state("n1", ("suspect", "offline"), 10)
    wait_until(lambda: "suspect" in top.read() or "offline" in top.read(), "the node's state on the terminal")
    herd.kill()
    top.wait_for("no herd answers at", 6)
    top.type("q")
    assert top.end() == 0


def test_top_prints_once_where_there_is_no_terminal(sim_fleet):
    herd, _, _ = sim_fleet.simulated(1)
    done = subprocess.run([program("herd"), "top", "--url", herd.url], capture_output=True, text=True, timeout=20, stdin=subprocess.DEVNULL)
    assert done.returncode == 0 and "1 of 1 nodes online" in done.stdout and "n1" in done.stdout and "\x1b" not in done.stdout
    herd.kill()
    done = subprocess.run([program("herd"), "top", "--url", herd.url], capture_output=True, text=True, timeout=20, stdin=subprocess.DEVNULL)
    assert done.returncode == 1 and done.stderr.startswith("herd: no herd answers at ") and done.stdout == ""
