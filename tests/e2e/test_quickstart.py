"""scripts/quickstart does what the README promises, also twice at once, and leaves nothing behind."""
import json
import os
import re
import shlex
import shutil
import signal
import subprocess

import pytest

from harness import Process, wait_until
from harness.programs import ROOT, program

needs_release = pytest.mark.skipif(program("herd") is None or program("herd").parent != ROOT / "build" / "release" / "bin" or not shutil.which("curl"),
                                   reason="quickstart is tested on the release build, and with curl")


def children(pid):
    """Every process below `pid`."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                parent = int(open("/proc/%s/stat" % name).read().rsplit(")", 1)[1].split()[1])
            except (OSError, IndexError):
                continue
            if parent == pid:
                found += [int(name)] + children(int(name))
    return found


def start(tmp_path, name, ollama):
    return Process([ROOT / "scripts" / "quickstart"], tmp_path / name, env={"OLLAMA_HOST": ollama, "TMPDIR": str(tmp_path)}, cwd=ROOT)


def curl_line(process):
    return process.line(r"^  (curl \S+ -d '.*')$", 120).group(1)


def works(line):
    done = subprocess.run(shlex.split(line.replace("curl ", "curl -sS ", 1)), capture_output=True, text=True, timeout=60)
    last = json.loads(done.stdout.strip().splitlines()[-1])
    return done.returncode == 0 and last["done"] is True


def end(process, tmp_path):
    below = children(process.pid)
    assert len(below) >= 2
    process.signal(signal.SIGINT)
    assert process.wait(15) == 0, process.output()
    wait_until(lambda: not any(os.path.exists("/proc/%d/exe" % pid) for pid in below), "everything to be stopped", 5)


@needs_release
def test_it_runs_twice_and_its_curl_line_works(tmp_path):
    first = start(tmp_path, "first.log", "127.0.0.1:1")
    line = curl_line(first)
    assert "SIMULATED" in first.output() and works(line)
    second = start(tmp_path, "second.log", "127.0.0.1:1")
    other = curl_line(second)
    assert other.split()[1] != line.split()[1] and works(other) and works(line)
    assert "2 online" in first.output() and "2 online" in second.output()
    for process in (second, first):
        end(process, tmp_path)
    assert not list(tmp_path.glob("herd-quickstart.*"))


@needs_release
@pytest.mark.real
def test_it_takes_the_ollama_that_is_here_and_listens_on_loopback_only(tmp_path, ollama):
    process = start(tmp_path, "log", ollama.url)
    assert works(curl_line(process))
    assert "SIMULATED" not in process.output()
    listening = set()
    inodes = set()
    for pid in children(process.pid):
        for descriptor in os.listdir("/proc/%d/fd" % pid):
            try:
                inodes |= set(re.findall(r"socket:\[(\d+)\]", os.readlink("/proc/%d/fd/%s" % (pid, descriptor))))
            except OSError:
                pass
    for row in open("/proc/net/tcp").read().splitlines()[1:]:
        fields = row.split()
        if fields[9] in inodes and fields[3] == "0A":
            listening.add(fields[1].split(":")[0])
    assert listening == {"0100007F"}, listening
    end(process, tmp_path)
