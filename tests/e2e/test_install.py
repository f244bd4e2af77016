"""What `cmake --install` puts on a machine, and that it runs from there."""
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from harness.programs import program

INSTALLED = ["bin/herd", "bin/herd-node", "lib/systemd/system/herd-node.service", "lib/systemd/system/herd.service"]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    build = Path(program("herd")).resolve().parent.parent
    if not (build / "cmake_install.cmake").exists():
        pytest.skip("the programs under test lie in no build folder")
    prefix = tmp_path_factory.mktemp("prefix")
    done = subprocess.run(["cmake", "--install", str(build), "--prefix", str(prefix)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return prefix


def test_the_programs_and_their_units_are_installed_and_nothing_else(installed):
    assert sorted(str(each.relative_to(installed)) for each in installed.rglob("*") if each.is_file()) == INSTALLED


def test_installed_programs_run_where_they_are(installed):
    for name in ("herd", "herd-node"):
        done = subprocess.run([str(installed / "bin" / name), "--version"], capture_output=True, text=True, timeout=30, cwd="/")
        assert done.returncode == 0 and re.match(r"%s \d+\.\d+\.\d+" % name, done.stdout), done


def test_units_start_what_was_installed(installed):
    for name in ("herd", "herd-node"):
        unit = (installed / "lib/systemd/system" / (name + ".service")).read_text()
        assert "ExecStart=%s\n" % (installed / "bin" / name) in unit and "@" not in unit
        assert "Type=notify\n" in unit and "DynamicUser=yes\n" in unit and "StateDirectory=%s\n" % name in unit


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not here")
def test_systemd_finds_no_fault_in_the_units(installed):
    for name in ("herd", "herd-node"):
        done = subprocess.run(["systemd-analyze", "verify", "--man=no", str(installed / "lib/systemd/system" / (name + ".service"))],
                              capture_output=True, text=True, timeout=60)
        faults = [line for line in done.stderr.splitlines() if name + ".service" in line]
        assert not faults, done.stderr
