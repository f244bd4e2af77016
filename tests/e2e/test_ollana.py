"""Living with the program Ollana on one LAN (lana.md 12): its client uses our herd, its server is a node of ours.

Every test is a LAN in network namespaces: broadcast, source ports and source addresses are what this is about. The
peers are processes that behave by the facts (harness/ollana.py); a client that ends is a failed test.
"""
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from conftest import need
from harness import request, wait_until
from harness.lan import inside
from harness.ollana import LANA, own_id
from harness.programs import program
from harness.wire import Connection
from test_guests import Sniffer, cli
from test_lan import MODEL, Site

pytestmark = pytest.mark.root
HERD = "10.77.0.1"
CHAT = {"model": MODEL, "messages": [{"role": "user", "content": "hi"}]}


class Peer:
    """An Ollana on a host."""

    def __init__(self, host, mode, name, folder, *arguments):
        self.host, self.id, self.events = host, own_id(name), []
        folder.mkdir(parents=True, exist_ok=True)
        self.process = subprocess.Popen(["ip", "netns", "exec", host, sys.executable, "-m", "harness.ollana", mode, "--name", name, "--folder", str(folder), *map(str, arguments)],
                                        stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parent, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"})
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()
        self.wait("started")

    def read(self):
        for line in self.process.stdout:
            self.events.append(json.loads(line))

    def seen(self, event, **wanted):
        return [one for one in list(self.events) if one["event"] == event and all(one.get(key) == value for key, value in wanted.items())]

    def wait(self, event, seconds=10, **wanted):
        return wait_until(lambda: self.seen(event, **wanted), "Ollana to say %s %s" % (event, wanted), seconds)[-1]

    @property
    def ended(self):
        return self.process.poll() is not None

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


class Both(Site):
    def peer(self, host, mode, name, *arguments):
        peer = Peer(host, mode, name, self.folder / ("ollana-" + name), *arguments)
        self.running.append(peer)
        return peer

    def serving(self, *arguments, nodes=1):
        """A herd for Ollana's clients with a node, and a host for such a client."""
        lan = self.network.lan()
        self.herd_host = self.network.host("herd", lan, addresses=[HERD + "/24"])
        self.herd = self.start_herd("--tls-self-signed", "--ollana-clients", *arguments)
        if "--require-key" in arguments:
            with inside(self.herd_host):
                self.root = wait_until(lambda: self.herd.add_key("root", scope="admin"), "herd")
        if nodes:
            self.boxes(nodes, lan)
            with inside(self.herd_host):
                self.herd.wait_online(["n1"]).wait_models([MODEL])
        self.laptop = self.network.host("laptop", lan, addresses=["10.77.0.200/24"], default_route=True)
        return lan

    def other(self, lan):
        """One more host on the LAN."""
        self.others = getattr(self, "others", 200) + 1
        return self.network.host("o%d" % self.others, lan, addresses=["10.77.0.%d/24" % self.others])

    def device(self, *words, code=0):
        return cli(self.herd_host, "device", *words, code=code)

    def devices(self):
        return json.loads(self.device("list", "--json"))


@pytest.fixture
def site(network, tmp_path):
    site = Both(network, tmp_path / "site")
    yield site
    site.stop()


def query(host, port=0, target=HERD, data=LANA, seconds=1.0, count=1, enough=99):
    """Asks as Ollana does, from a port of the test's choice; every bare LANA that came back, with its source; no longer than
    until `enough` have come."""
    answers = []
    with inside(host), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        probe.bind(("0.0.0.0", port))
        for _ in range(count):
            probe.sendto(data, (target, 11436))
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and len(answers) < enough:
            probe.settimeout(left)
            try:
                answer = probe.recvfrom(2048)
            except socket.timeout:
                break
            if answer[0] == LANA:  # port 11436 hears herd's beacons too
                answers.append(answer)
    return answers


def local(host, method="GET", path="/api/tags", body=None):
    """What an application on the laptop asks: Ollama's own address there, which Ollana's client serves."""
    with inside(host):
        return request("http://127.0.0.1:11434", method, path, body, timeout=30)


def test_a_client_of_ollana_finds_the_herd_is_let_in_and_uses_it(site):
    site.serving()
    client = site.peer(site.laptop, "client", "laptop", "--every", 1.1, "--poll", 0.5)
    refused = client.wait("unauthorized", server=HERD)
    assert refused["body"] == "Device is not authorized"
    assert client.seen("datagram")[0] == {"event": "datagram", "source": HERD, "port": 11436, "bytes": 4}

    knocked = wait_until(lambda: [device for device in site.devices()["devices"] if device["id"] == client.id], "the knock to be listed")[0]
    assert knocked["state"] == "knocked" and knocked["from"] == "10.77.0.200" and knocked["advice"] == "herd device allow " + client.id
    assert client.id in site.device("list")

    # Both sides let the other in: ours with the verb, theirs (after a restart, as Ollana wants it) with herd's id.
    ours = site.device("show").split()[0]
    assert re.fullmatch("[0-9a-f]{64}", ours) and json.loads(site.device("show", "--json"))["device_id"] == ours
    site.device("allow", client.id[:8])
    assert client.wait("server_not_allowed", server=HERD)["device"] == ours
    client.kill()
    client = site.peer(site.laptop, "client", "laptop", "--every", 1.1, "--poll", 0.5, "--allow", ours)
    client.wait("serving", server=HERD)

    tags = local(site.laptop)
    assert tags.status == 200 and [row["name"] for row in tags.json()["models"]] == [MODEL]
    whole = local(site.laptop, "POST", "/api/chat", {**CHAT, "stream": False})
    assert whole.status == 200 and whole.json()["done"], whole
    stream = local(site.laptop, "POST", "/api/chat", CHAT)
    assert stream.status == 200 and len(stream.lines()) > 1 and stream.lines()[-1]["done"]
    assert local(site.laptop, "POST", "/v1/chat/completions", {**CHAT, "stream": True}).events()[-1] == (None, "[DONE]")
    assert local(site.laptop, "POST", "/api/show", {"model": MODEL}).status == 200
    wait_until(lambda: len(client.seen("looked", good=True)) > 3, "the client's polls")
    assert not client.seen("looked", good=False) and not client.ended

    site.device("disable", client.id)  # at once: the next request
    assert local(site.laptop).status == 401 and local(site.laptop, "GET", "/api/version").status == 200
    client.wait("unauthorized", server=HERD)
    assert not client.ended


def test_what_is_allowed_outlives_a_restart(site):
    site.serving()
    device = own_id("laptop")
    site.device("allow", device)
    ours = site.device("show").split()[0]
    site.herd.stop()
    site.herd = site.start_herd("--tls-self-signed", "--ollana-clients")
    assert site.device("show").split()[0] == ours
    assert [(one["id"], one["state"], one["usable"]) for one in site.devices()["devices"]] == [(device, "allowed", True)]
    state = site.folder / "herd" / "devices.json"
    assert state.stat().st_mode & 0o777 == 0o600
    client = site.peer(site.laptop, "client", "laptop", "--every", 1.1, "--allow", ours)
    client.wait("serving", server=HERD, seconds=20)
    log = site.herd.output()
    assert device not in log and ours not in log, "ids are what opens the door"


def test_who_is_answered_and_from_where(site):
    """Each question comes from a host of its own: the limit of one a second must not be what keeps herd silent."""
    lan = site.serving()
    def answered(*arguments, **more):
        return query(site.other(lan), *arguments, seconds=10, enough=1, **more)
    from_us = [(LANA, (HERD, 11436))]
    assert answered(target="10.77.0.255") == from_us
    assert answered(target=HERD) == from_us
    assert answered(1024) == from_us
    for port in (11436, 53, 1023):
        assert query(site.other(lan), port) == [], port
    for data in (b"LAN", b"LANA\0", b"LANB", b""):
        assert query(site.other(lan), data=data) == [], data
    assert query(site.other(lan), seconds=0.9, count=20) == from_us, "once a second"
    assert query(site.other(lan), target="10.77.0.11") == query(site.other(lan), 11436, "10.77.0.11") == [], "herd-node never"

    # Out of the address that was asked, since that is where the client goes: also where it is the second one.
    subprocess.run(["ip", "-n", site.herd_host, "addr", "add", "10.77.0.99/24", "dev", "eth0"], check=True)
    assert answered(target="10.77.0.99") == [(LANA, ("10.77.0.99", 11436))]

    # Only neighbours: not who is one router away, although he can use the herd.
    behind = site.network.lan()
    router = site.network.host("router", lan, behind, addresses=["10.77.0.2/24", "10.88.0.2/24"])
    far = site.network.host("far", behind, addresses=["10.88.0.9/24"])
    subprocess.run(["ip", "netns", "exec", router, "sysctl", "-qw", "net.ipv4.ip_forward=1"], check=True)
    subprocess.run(["ip", "-n", far, "route", "add", "10.77.0.0/24", "via", "10.88.0.2"], check=True)
    subprocess.run(["ip", "-n", site.herd_host, "route", "add", "10.88.0.0/24", "via", "10.77.0.2"], check=True)
    with inside(far):
        assert request("http://%s:11435" % HERD, path="/api/version").status == 200
    assert query(far) == []


def test_who_was_answered_finds_no_closed_port_when_herd_ends(site):
    """Ollana's client connects right after the answer, and ends itself when it cannot."""
    lan = site.serving()
    for attempt in range(5):
        host = site.other(lan)
        assert query(host, seconds=10, enough=1) == [(LANA, (HERD, 11436))]
        answered = time.monotonic()
        site.herd.signal(signal.SIGTERM)
        site.herd.line("stopping")
        try:
            with inside(host):
                assert request("http://%s:11435" % HERD, "POST", "/ollana/api/authorize").status == 401
            break
        except OSError:
            assert time.monotonic() - answered > 0.9, "the port was closed too early"
        site.herd.stop()  # this machine was too slow to ask in time: once more
        site.herd = site.start_herd("--tls-self-signed", "--ollana-clients")
        with inside(site.herd_host):
            site.herd.wait_online(["n1"])
    else:
        pytest.skip("this machine is too busy to ask within a second")
    assert site.herd.wait(10) == 0


def test_no_answer_without_a_node_and_one_hint_an_hour(site):
    site.serving(nodes=0)
    client = site.peer(site.laptop, "client", "laptop", "--every", 0.2)
    with inside(site.herd_host):
        wait_until(lambda: metric(site.herd, "no_node") >= 10, "queries to be heard")
    assert not client.seen("datagram")
    hints = [line for line in site.herd.output().splitlines() if "ollana_client_not_answered" in line]
    assert len(hints) == 1 and "10.77.0.200" in hints[0] and "no node" in hints[0], hints


def metric(herd, result):
    found = re.search(r'herd_discovery_datagrams_total\{[^}]*result="%s"[^}]*type="ollana"[^}]*\} (\d+)' % result, herd.get("/metrics").body.decode()) \
        or re.search(r'herd_discovery_datagrams_total\{[^}]*type="ollana"[^}]*result="%s"[^}]*\} (\d+)' % result, herd.get("/metrics").body.decode())
    return int(found.group(1)) if found else 0


def test_off_by_default_and_refused_without_tls(site):
    lan = site.network.lan()
    herd = site.add_herd(lan)
    site.boxes(1, lan)
    laptop = site.network.host("laptop", lan, addresses=["10.77.0.200/24"], default_route=True)
    with inside(site.herd_host):
        herd.wait_online(["n1"])
    client = site.peer(laptop, "client", "laptop", "--every", 0.2)
    with inside(site.herd_host):
        wait_until(lambda: metric(herd, "off") >= 10, "queries to be heard")
        assert herd.post("/ollana/api/authorize").status == 404  # as Ollama itself says
    assert not client.seen("datagram") and not client.ended
    hints = [line for line in herd.output().splitlines() if "ollana_client_not_answered" in line]
    assert len(hints) == 1 and "[ollana] clients" in hints[0]
    for arguments, why in ((["--ollana-clients"], "TLS"), (["--ollana-clients", "--tls-self-signed", "--listen", "127.0.0.1:0"], "port 11435")):
        done = subprocess.run([program("herd"), "--state-dir", str(site.folder / "x"), "--config", str(site.folder / "herd.toml"), *arguments], capture_output=True, text=True, timeout=20)
        assert done.returncode == 2 and "ollana.clients needs" in done.stderr and why in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr


def test_requests_with_an_id_and_without(site):
    site.serving()
    device = own_id("laptop")
    site.device("allow", device)

    def ask(method, path, ids=(), body=None):
        """As Ollana sends it: no Content-Type, nothing else; a body in chunks, on every method; `body` None: no body."""
        lines = ["%s %s HTTP/1.1" % (method, path), "Host: %s:11435" % HERD] + ["X-Ollana-Device-Id: " + one for one in ids]
        data = b""
        if body is not None:
            lines.append("Transfer-Encoding: chunked")
            data = (b"%x\r\n%s\r\n" % (len(body), body) if body else b"") + b"0\r\n\r\n"
        with inside(site.laptop), Connection("http://%s:11435" % HERD) as connection:
            connection.send_raw("\r\n".join(lines + ["", ""]).encode() + data)
            return connection.answer(method)

    wrong = "0" * 64
    for method, path in (("GET", "/api/tags"), ("POST", "/api/chat"), ("GET", "/v1/models"), ("GET", "/herd/v1/status"), ("GET", "/"), ("PUT", "/x")):
        answer = ask(method, path, [wrong])
        assert (answer.status, answer.body) == (401, b"Device is not authorized"), (method, path, answer)
        assert ask(method, path, [device, device]).status == 401 and ask(method, path, ["x"]).status == 401
        with inside(site.herd_host):
            record = site.herd.get("/herd/v1/requests/" + answer.header("X-Herd-Request-Id")).json()
        assert (record["status"], record["path"], record["termination"]) == (401, path, "PR"), record
        assert record["error"] == "the device is not authorized" and wrong not in json.dumps(record)
    assert ask("GET", "/api/version", [wrong]).status == 200 and isinstance(ask("GET", "/api/version").json()["version"], str)
    assert ask("POST", "/ollana/api/authorize").status == 401 and ask("POST", "/ollana/api/authorize", [wrong]).status == 401
    welcome = ask("POST", "/ollana/api/authorize", [device])
    assert set(welcome.json()) == {"device_id"} and welcome.header("X-Herd-Request-Id")
    assert ask("GET", "/api/tags", [device], b"").status == 200
    assert ask("POST", "/api/chat", [device], json.dumps({**CHAT, "stream": False}).encode()).status == 200
    assert ask("GET", "/api/tags").status == 200, "who shows no id is no Ollana"


def test_together_with_required_keys_a_device_acts_as_a_key(site):
    site.serving("--require-key")
    device = own_id("laptop")
    with inside(site.herd_host):
        root = site.root
        site.herd.add_key("laptops", models=[MODEL], rpm=1000)

    def device_verb(*words, code=0):
        return cli(site.herd_host, "device", *words, "--key", root, code=code)
    assert "wants a key" in site.device("list", code=1)
    device_verb("allow", device)

    def status(path="/api/tags", method="GET"):
        with inside(site.laptop):
            return request("http://%s:11435" % HERD, method, path, None, [("X-Ollana-Device-Id", device)]).status
    assert status() == 401 and status("/ollana/api/authorize", "POST") == 401, "it shows no key"
    assert "--as NAME" in device_verb("list")
    assert "admin" in device_verb("allow", device, "--as", "root", code=1)
    device_verb("allow", device, "--as", "laptops")
    assert status() == 200 and status("/ollana/api/authorize", "POST") == 200
    assert status("/herd/v1/requests") == 403 and status("/herd/v1/devices") == 403, "never more than the key"
    with inside(site.laptop):
        chat = request("http://%s:11435" % HERD, "POST", "/api/chat", {**CHAT, "stream": False}, [("X-Ollana-Device-Id", device)])
        other = request("http://%s:11435" % HERD, "POST", "/api/chat", {**CHAT, "model": "other:1b"}, [("X-Ollana-Device-Id", device)])
        assert request("http://%s:11435" % HERD, path="/api/version").status == 200
        assert request("http://%s:11435" % HERD, path="/api/tags").status == 401
    assert chat.status == 200 and other.status == 403
    with inside(site.herd_host):
        record = site.herd.get("/herd/v1/requests/" + chat.header("X-Herd-Request-Id")).json()
        assert record["key"] == "laptops" and device not in json.dumps(record)
        assert site.herd.delete("/herd/v1/keys/laptops").status == 200
    assert status() == 401 and status("/ollana/api/authorize", "POST") == 401, "revoked with its key"


# ------------------------------------------------------------------------------------- an Ollana server as a node of ours

class Served(Both):
    """A herd that uses Ollana's servers, and a box with one."""
    settings = 'scheduler.hold_timeout = "2s"\n'  # a request without a node is held for as long as its client waits else

    def with_server(self, *arguments, plain=False):
        lan = self.network.lan()
        self.herd_host = self.network.host("herd", lan, addresses=[HERD + "/24"])
        self.add_host("box", lan, addresses=["10.77.0.50/24"])
        self.add_sim("box")
        self.server = self.start_server(*(["--plain"] if plain else []))
        self.herd = self.start_herd("--ollana-servers", *arguments)
        with inside(self.herd_host):
            wait_until(lambda: self.herd.status(), "herd")
        return lan

    def start_server(self, *arguments):
        return self.peer(self.hosts["box"], "server", "box", *arguments)

    def wait_server(self, state, seconds=20):
        def look():
            return next((one for one in self.devices()["ollana_servers"] if one["state"] == state), None)
        return wait_until(look, "the server to be " + state, seconds)

    def node(self):
        with inside(self.herd_host):
            return self.herd.node("ollana-10.77.0.50")

    def approved(self):
        """Both sides let the other in."""
        ours = self.device("show").split()[0]
        self.server.kill()
        self.server = self.start_server("--allow", ours)
        self.device("allow", self.server.id)
        with inside(self.herd_host):
            self.herd.wait_online(["ollana-10.77.0.50"], 30).wait_models([MODEL])
        return ours


@pytest.fixture
def served(network, tmp_path):
    site = Served(network, tmp_path / "site")
    yield site
    site.stop()


def test_a_server_of_ollana_is_heard_approved_and_used(served):
    served.with_server()
    server = served.wait_server("awaiting_approval_there")
    ours = served.device("show").split()[0]
    assert server["address"] == "10.77.0.50" and server["advice"] == "awaiting approval: run `ollana device allow %s` there, then restart ollana" % ours
    node = served.node()
    assert node["state"] == "unknown" and "awaiting approval" in node["state_reason"] and "ollana device allow" in node["state_reason"]
    assert ours not in json.dumps(node), "herd nodes is open to all"
    assert "awaiting approval" in cli(served.herd_host, "nodes")
    assert {one["path"] for one in served.server.seen("request")} <= {"/ollana/api/authorize"}, "nothing else is sent there"

    served.server.kill()
    served.server = served.start_server("--allow", ours)
    waits = served.wait_server("awaiting_approval_here", 40)
    assert waits["device"] == served.server.id and "herd device allow " + served.server.id in waits["advice"]
    assert served.server.id in served.device("list")
    assert not [one for one in served.server.seen("request") if one["path"] == "/api/tags"], "no work before a human said so"
    served.device("allow", served.server.id[:8])
    with inside(served.herd_host):
        herd = served.herd.wait_online(["ollana-10.77.0.50"], 15).wait_models([MODEL])
        assert herd.node("ollana-10.77.0.50")["slots"]["total"] == 1
        stream = request(herd.url, "POST", "/api/chat", CHAT)
        assert stream.status == 200 and stream.header("Content-Type") == "application/x-ndjson", stream.headers
        assert stream.lines()[-1]["done"] and stream.header("X-Herd-Node") == "ollana-10.77.0.50"
        whole = request(herd.url, "POST", "/api/chat", {**CHAT, "stream": False})
        assert whole.header("Content-Type") == "application/json; charset=utf-8" and whole.json()["done"]
        events = request(herd.url, "POST", "/v1/chat/completions", {**CHAT, "stream": True})
        assert events.header("Content-Type") == "text/event-stream" and events.events()[-1] == (None, "[DONE]")
        missing = request(herd.url, "POST", "/api/show", {"model": "no-such:1b"})
        assert missing.status == 404 and "not found" in missing.json()["error"]
        record = herd.get("/herd/v1/requests/" + stream.header("X-Herd-Request-Id")).json()
        assert record["status"] == 200 and ours not in json.dumps(record)
    chats = [one for one in served.server.seen("request") if one["path"] == "/api/chat"]
    assert chats and {one["device"] for one in chats} == {ours}
    assert ours not in served.herd.output() and served.server.id not in served.herd.output()


def test_another_certificate_needs_leave_again(served):
    served.with_server()
    ours = served.approved()
    served.server.kill()
    for file in (served.folder / "ollana-box").glob("*.pem"):
        file.unlink()
    served.server = served.start_server("--allow", ours)
    changed = served.wait_server("certificate_changed", 40)
    assert "certificate" in changed["advice"] and "herd device allow" in changed["advice"]
    assert not served.server.seen("request"), "an impostor learns no id and gets no prompt"
    with inside(served.herd_host):
        assert served.herd.chat(MODEL).status != 200
        assert "certificate" in served.node()["state_reason"]
    served.device("allow", served.server.id)
    with inside(served.herd_host):
        served.herd.wait_online(["ollana-10.77.0.50"], 15)
        assert served.herd.chat(MODEL).status == 200


def test_a_restart_of_herd_forgets_no_server_and_disable_ends_its_use_at_once(served):
    served.with_server()
    served.approved()
    served.herd.stop()
    served.herd = served.start_herd("--ollana-servers")
    with inside(served.herd_host):
        served.herd.wait_online(["ollana-10.77.0.50"], 10).wait_models([MODEL])
        assert served.herd.chat(MODEL).status == 200
    served.device("disable", served.server.id)
    assert served.node()["state"] == "unknown" and "awaiting approval" in served.node()["state_reason"]
    before = len([one for one in served.server.seen("request") if one["path"] == "/api/chat"])
    with inside(served.herd_host):
        assert served.herd.chat(MODEL).status != 200
    assert len([one for one in served.server.seen("request") if one["path"] == "/api/chat"]) == before


def test_answers_of_servers_are_never_answered(served):
    """Every one of our datagrams is a query to an Ollana server; what it says back ends there (lana.md 14.3 L3)."""
    served.with_server()
    with Sniffer(served.hosts["box"]) as sniffer:
        seen = len(served.server.seen("query"))
        wait_until(lambda: len(served.server.seen("query")) >= seen + 2, "two beacons", 20)
    ours = socket.inet_aton(HERD)
    bare = [frame for frame in sniffer.frames if frame[12:14] == b"\x08\x00" and frame[23] == 17 and frame[26:30] == ours and frame[38:40] == b"\x00\x0c"]
    assert bare == [], "no datagram with four bytes of payload comes from us"
    with inside(served.herd_host):
        wait_until(lambda: metric(served.herd, "server") >= 2, "its answers to be counted", 20)


def test_servers_are_only_counted_by_default(served):
    lan = served.network.lan()
    served.herd_host = served.network.host("herd", lan, addresses=[HERD + "/24"])
    served.add_host("box", lan, addresses=["10.77.0.50/24"])
    served.add_sim("box")
    served.server = served.start_server()
    served.herd = served.start_herd()
    with inside(served.herd_host):
        wait_until(lambda: metric(served.herd, "server") >= 1, "an answer of the server", 20)
        assert served.herd.nodes() == []
    hints = [line for line in served.herd.output().splitlines() if "ollana_server_not_used" in line]
    assert len(hints) == 1 and "[ollana] servers" in hints[0] and "10.77.0.50" in hints[0]
    assert not served.server.seen("request")


def test_an_old_server_gets_a_sentence(served):
    served.with_server(plain=True)
    assert "before 0.4.1" in served.wait_server("too_old")["advice"]
    assert "before 0.4.1" in served.node()["state_reason"]
