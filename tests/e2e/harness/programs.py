"""herd, herd-node and ollama-sim as a test starts them: free ports, state of their own, loopback only."""
import json
import os
import re
import signal
import socket
from pathlib import Path
from urllib.parse import quote

from .process import Process, free_port, wait_until
from .wire import Connection, request

ROOT = Path(__file__).resolve().parents[3]


def program(name):
    """The binary of `name`: from $HERD_BIN_DIR, else the newest build; None when it is not built."""
    folder = os.environ.get("HERD_BIN_DIR")
    if folder:
        path = Path(folder) / name
        return path if path.exists() else None
    built = sorted(ROOT.glob("build/*/bin/" + name), key=lambda path: path.stat().st_mtime)
    return built[-1] if built else None


LISTENING = r"^%s listening on (http://\S+)\s*$"


class Program(Process):
    """A program that says where it listens."""
    name = ""

    def __init__(self, arguments, log, wait=True, **more):
        super().__init__([program(self.name)] + list(arguments), log, **more)
        self.url = None
        if wait:
            self.url = self.line(LISTENING % self.name).group(1)

    key = None  # shown with every request of the test's own

    def _headers(self, headers):
        given = list(headers.items()) if isinstance(headers, dict) else list(headers)
        shown = any(name.lower() in ("authorization", "x-api-key", "cookie") for name, _ in given)
        return given if shown or self.key is None else given + [("Authorization", "Bearer " + self.key)]

    def get(self, path, headers=(), **more):
        return request(self.url, path=path, headers=self._headers(headers), **more)

    def post(self, path, body=None, headers=(), **more):
        return request(self.url, "POST", path, body, headers=self._headers(headers), **more)

    def delete(self, path, headers=(), **more):
        return request(self.url, "DELETE", path, headers=self._headers(headers), **more)


class Sim(Program):
    """A simulated Ollama. Its knobs are in tests/ollama-sim/README.md."""
    name = "ollama-sim"

    def fault(self, kind, **more):
        """Misbehaviour on demand: status, reset, hang, die, error, truncate, stall, slow."""
        answer = self.post("/sim/faults", {"kind": kind, **more})
        assert answer.status in (200, 201, 204), answer

    def heal(self):
        assert request(self.url, "DELETE", "/sim/faults").status in (200, 204)

    def state(self):
        return self.get("/sim/state").json()


class Node(Program):
    name = "herd-node"


class Herd(Program):
    name = "herd"

    def status(self):
        return self.get("/herd/v1/status").json()

    def nodes(self):
        return self.get("/herd/v1/nodes").json()["nodes"]

    def node(self, name):
        return next((node for node in self.nodes() if name in (node["name"], node["id"])), None)

    def online(self):
        return {node["name"] for node in self.nodes() if node["state"] == "online"}

    def wait_online(self, names, seconds=10.0):
        wanted = set(names)
        wait_until(lambda: wanted <= self.online(), "%s to be online in the herd" % ", ".join(sorted(wanted)), seconds)
        return self

    def wait_state(self, name, states, seconds=10.0):
        states = {states} if isinstance(states, str) else set(states)
        return wait_until(lambda: (self.node(name) or {"state": "absent"})["state"] in states,
                          "node %s to be %s" % (name, " or ".join(sorted(states))), seconds)

    def wait_models(self, names, seconds=10.0):
        wanted = {full(name) for name in names}
        wait_until(lambda: wanted <= {row["name"] for row in self.get("/api/tags").json()["models"]},
                   "models %s in /api/tags" % ", ".join(sorted(wanted)), seconds)
        return self

    def chat(self, model, text="hello", stream=False, headers=(), timeout=30.0, **more):
        return request(self.url, "POST", "/api/chat", {"model": model, "messages": [{"role": "user", "content": text}], "stream": stream, **more},
                       self._headers(headers), timeout)

    def add_key(self, name, **limits):
        """The secret of a new API key. The first one with scope="admin" also becomes the test's own."""
        answer = self.post("/herd/v1/keys", {"name": name, **limits})
        assert answer.status == 201, answer
        secret = answer.json()["secret"]
        if self.key is None and limits.get("scope") == "admin":
            self.key = secret
        return secret

    def change_node(self, name, changes):
        """Changes settings of a node at run time."""
        return request(self.url, "PATCH", "/herd/v1/nodes/%s/settings" % quote(name), changes, self._headers(()))

    def drain(self, name):
        return self.post("/herd/v1/nodes/%s/drain" % quote(name))

    def resume(self, name):
        return self.post("/herd/v1/nodes/%s/resume" % quote(name))


def full(name):
    return name if ":" in name else name + ":latest"


class Fleet:
    """Everything one test starts, on loopback, stopped in reverse order. No two fleets hear each other."""

    def __init__(self, folder, namespace=None):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.discovery_port = free_port(socket.SOCK_DGRAM)
        self.running = []
        self.count = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        for process in reversed(self.running):
            try:
                process.signal(signal.SIGCONT)
                process.kill()
            except (OSError, AssertionError):
                pass
        self.running = []

    def _add(self, process):
        self.running.append(process)
        return process

    def _log(self, name):
        self.count += 1
        return self.folder / ("%02d-%s.log" % (self.count, re.sub(r"\W+", "_", name)))

    def config(self, text):
        """A herd.toml with this text; its path."""
        path = self.folder / ("herd-%d.toml" % self.count)
        path.write_text(text)
        return path

    def sim(self, models="llama3.2:3b", *arguments, listen="127.0.0.1:0", **more):
        return self._add(Sim(["--listen", listen, "--models", models, *arguments], self._log("sim"), **more))

    def herd(self, *arguments, listen="127.0.0.1:0", state="herd", discovery=True, config=None, **more):
        loopback = ["--interface", "lo", "--discovery-port", self.discovery_port] if discovery else ["--no-discovery"]
        if config is None:  # never a herd.toml that happens to lie about
            config = self.folder / "empty.toml"
            config.write_text("")
        return self._add(Herd(["serve", "--config", config, "--listen", listen, "--state-dir", self.folder / state, *loopback, *arguments],
                              self._log("herd"), **more))

    def node(self, name, ollama, *arguments, listen="127.0.0.1:0", **more):
        url = ollama if isinstance(ollama, str) else ollama.url
        return self._add(Node(["--ollama", url, "--name", name, "--listen", listen, "--interface", "lo",
                               "--discovery-port", self.discovery_port, "--state-dir", self.folder / ("node-" + name), *arguments],
                              self._log("node-" + name), **more))

    def static(self, *backends, **more):
        """A herd in front of plain servers without agents, named b1, b2 …; online when this returns."""
        text = "".join('[[node]]\nname = "b%d"\nurl = "%s"\n' % (i, backend.url) for i, backend in enumerate(backends, 1))
        herd = self.herd(discovery=False, config=self.config(more.pop("config", "") + text), **more)
        return herd.wait_online("b%d" % i for i in range(1, len(backends) + 1))

    def simulated(self, count, models="llama3.2:3b", *arguments, herd_arguments=()):
        """A herd with `count` agents n1, n2 …, one simulated Ollama behind each; (herd, nodes, sims)."""
        sims = [self.sim(models, *arguments) for _ in range(count)]
        herd = self.herd(*herd_arguments)
        nodes = [self.node("n%d" % i, sim) for i, sim in enumerate(sims, 1)]
        herd.wait_online("n%d" % i for i in range(1, count + 1))
        herd.wait_models(name.split("=")[0] for name in models.split(","))
        return herd, nodes, sims


def stream(url, path, body, headers=(), timeout=30.0):
    """Starts a streamed request: (connection, answer, iterator over pieces). The caller closes the connection."""
    connection = Connection(url, timeout)
    connection.send("POST", path, body, headers)
    answer = connection.head()
    return connection, answer, connection.pieces(answer)


def ndjson(piece):
    return [json.loads(line) for line in piece.split(b"\n") if line.strip()]
