"""What every end-to-end test may ask for. A test that lacks something here is skipped with the reason."""
import os
import sys
import shutil
from pathlib import Path

import pytest

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))

from harness import process  # noqa: E402
from harness.lan import Network, why_not  # noqa: E402
from harness.ollama import RealOllama, find_binary, write_models  # noqa: E402
from harness.programs import Fleet, program  # noqa: E402

_namespaces_refused = None


def need(*names):
    missing = [name for name in names if program(name) is None]
    if missing:
        pytest.skip("not built: %s" % ", ".join(missing))


@pytest.fixture(scope="session")
def models_folder(tmp_path_factory):
    """name -> path of the three tiny models."""
    return write_models(tmp_path_factory.mktemp("gguf"))


@pytest.fixture(scope="session")
def ollama_binary():
    binary = find_binary()
    if binary is None:
        pytest.skip("no real Ollama: set HERD_TEST_OLLAMA or put ollama on PATH")
    return binary


@pytest.fixture(scope="session")
def ollama(tmp_path_factory, ollama_binary, models_folder):
    """A real Ollama with tiny, tinyloop and tinyembed. Shared: leave it as you found it."""
    server = RealOllama(tmp_path_factory.mktemp("ollama"), ollama_binary, models_folder)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def real_herd(tmp_path_factory, ollama):
    """A herd whose only node is the real Ollama, through an agent. Shared."""
    need("herd", "herd-node")
    with Fleet(tmp_path_factory.mktemp("real-fleet")) as fleet:
        herd = fleet.herd()
        herd.agent = fleet.node("box", ollama)
        herd.wait_online(["box"]).wait_models(["tiny", "tinyloop", "tinyembed"])
        yield herd


@pytest.fixture
def fleet(tmp_path):
    """An empty fleet to fill. Everything in it ends with the test."""
    need("herd")
    with Fleet(tmp_path / "fleet") as fleet:
        yield fleet


@pytest.fixture
def sim_fleet(fleet):
    """An empty fleet; herd, herd-node and ollama-sim are all there."""
    need("herd", "herd-node", "ollama-sim")
    return fleet


@pytest.fixture
def network():
    """Network namespaces. Skips where they do not work."""
    global _namespaces_refused
    if _namespaces_refused is None:
        _namespaces_refused = why_not() or ""
    if _namespaces_refused:
        pytest.skip(_namespaces_refused)
    with Network() as network:
        yield network


@pytest.fixture(scope="session")
def node_js():
    """(node, folder with node_modules) for the JavaScript client."""
    folder = os.environ.get("HERD_TEST_NODE_MODULES")
    if shutil.which("node") is None:
        pytest.skip("no node (JavaScript) on PATH")
    if not folder or not (Path(folder) / "node_modules" / "ollama").exists():
        pytest.skip("the npm package ollama is not installed (scripts/test does it when npm works)")
    return shutil.which("node"), Path(folder)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failed test shows the ends of the logs of what it started."""
    outcome = yield
    result = outcome.get_result()
    if result.when == "call" and result.failed:
        for name in ("fleet", "real_herd"):
            if name in item.funcargs:
                thing = item.funcargs[name]
                folder = thing.folder if isinstance(thing, Fleet) else Path(thing.log).parent
                for log in sorted(folder.glob("*.log")):
                    result.sections.append((log.name, log.read_text(errors="replace")[-2500:]))


def pytest_terminal_summary(terminalreporter):
    if process.REPORT:
        terminalreporter.section("figures")
        for line in process.REPORT:
            terminalreporter.write_line(line)
