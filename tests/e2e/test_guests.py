"""The guest list: who may join a fleet, who may use a node, and what a stranger on the same LAN can do (lana.md 5).

Every test is a LAN in network namespaces with the real programs; the stranger is a host of its own on it.
"""
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time

import pytest

from harness import report, request, wait_until
from harness.certificates import Authority, fingerprint
from harness.lan import inside
from harness.programs import program
from harness.scripted import ScriptedOllama
from test_lan import MODEL, Site, ask

pytestmark = pytest.mark.root
NODES = "10.77.0.%d"


def cli(host, *arguments, code=0):
    """Runs a verb of `herd` on a host; its output."""
    done = subprocess.run(["ip", "netns", "exec", host, program("herd"), *map(str, arguments)], capture_output=True, text=True, timeout=30)
    assert done.returncode == code, (arguments, done.stdout, done.stderr)
    return done.stdout + done.stderr


class Guests(Site):
    """A site whose fleet has a key, or gets one."""

    @property
    def key_file(self):
        return self.folder / "herd" / "fleet.key"

    def fleet_key(self, *words, code=0, **more):
        return cli(self.herd_host, "fleet-key", *words, "--state-dir", self.folder / "herd", "--config", self.folder / "herd.toml", code=code, **more)

    def copy_key(self, name):
        """What a person does after `herd fleet-key …`: scp to the node."""
        copy = self.folder / ("key-of-" + name)
        shutil.copy(self.key_file, copy)
        os.chmod(copy, 0o600)
        return copy

    def keyed_site(self, count=1):
        """A herd that made itself a key before it started, and nodes that hold it."""
        lan = self.network.lan()
        self.herd_host = self.network.host("herd", lan, addresses=["10.77.0.1/24"])
        (self.folder / "herd").mkdir(mode=0o700)
        self.fleet_key("new")
        herd = self.start_herd()
        for i in range(1, count + 1):
            self.add_host("n%d" % i, lan, addresses=[NODES % (10 + i) + "/24"])
            self.add_sim("n%d" % i)
        nodes = [self.add_node("n%d" % i, "--fleet-key-file", self.copy_key("n%d" % i)) for i in range(1, count + 1)]
        with inside(self.herd_host):
            wait_until(lambda: herd.status(), "herd")
            if count:
                herd.wait_online(["n%d" % i for i in range(1, count + 1)]).wait_models([MODEL])
        return lan, herd, nodes

    def stranger(self, lan, last=66):
        return self.network.host("stranger%d" % last, lan, addresses=[NODES % last + "/24"])


@pytest.fixture
def site(network, tmp_path):
    site = Guests(network, tmp_path / "site")
    yield site
    site.stop()


class Sniffer:
    """Everything that a host's cable carries, as frames; from within the host's namespace."""

    def __init__(self, host, interface=None):
        """`interface`: what goes over that one alone; else lo is seen too."""
        with inside(host):
            self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
            if interface:
                self.socket.bind((interface, 0))
        self.socket.settimeout(0.2)
        self.frames, self.on = [], True
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        while self.on:
            try:
                self.frames.append(self.socket.recv(65536))
            except OSError:
                pass

    def datagrams(self, kind):
        """Payloads of LANA datagrams of that type."""
        found = []
        for frame in list(self.frames):
            at = frame.find(b"LANA\x01" + bytes([kind]))
            if at > 0 and frame[12:14] == b"\x08\x00":
                found.append(frame[at:at + struct.unpack("!H", frame[at + 8:at + 10])[0]])
        return found

    def text(self):
        return b"\n".join(list(self.frames)).decode("latin-1")

    def stop(self):
        self.on = False
        self.thread.join()
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def counted(herd, kind, result):
    """Datagrams of a type ("": any) that herd counted with that result."""
    total = 0
    for line in herd.get("/metrics").body.decode().splitlines():
        if line.startswith("herd_discovery_datagrams_total") and 'result="%s"' % result in line and 'type="%s' % kind in line:
            total += float(line.rsplit(" ", 1)[1])
    return total


def dropped(herd, result):
    return counted(herd, "", result)


def send_as(payload, source, destination, ports=(40000, 11436)):
    """A datagram with a source address that is not ours. Call inside the sender's namespace."""
    def checksum(data):
        data += b"\0" * (len(data) % 2)
        total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
        total = (total >> 16) + (total & 0xffff)
        return ~(total + (total >> 16)) & 0xffff
    udp = struct.pack("!HHHH", *ports, 8 + len(payload), 0) + payload
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 1, 0, 255, 17, 0, socket.inet_aton(source), socket.inet_aton(destination))
    head = head[:10] + struct.pack("!H", checksum(head)) + head[12:]
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
        raw.sendto(head + udp, (destination, 0))


def without_key(payload):
    """The same announcement as somebody without the key would send it."""
    bare = bytearray(payload[:-32] if payload[11] else payload)
    bare[11] = 0
    bare[8:10] = struct.pack("!H", len(bare))
    return bytes(bare)


# ------------------------------------------------------------------------------------------------- with a key

def test_a_keyed_fleet_works_and_a_node_without_the_key_is_not_admitted(site):
    lan, herd, _ = site.keyed_site(2)
    site.add_host("n9", lan, addresses=["10.77.0.19/24"])
    site.add_sim("n9")
    site.add_node("n9")
    (site.folder / "other").mkdir(mode=0o700)
    other = site.folder / "other.key"
    other.write_text("1 " + "ab" * 32 + "\n")
    os.chmod(other, 0o600)
    site.add_host("n8", lan, addresses=["10.77.0.18/24"])
    site.add_sim("n8")
    site.add_node("n8", "--fleet-key-file", other)
    with inside(site.herd_host):
        assert ask(herd).status == 200
        assert {node["name"]: node["trust"] for node in herd.nodes()} == {"n1": "key", "n2": "key"}
        assert all(node["keys"] == [1] for node in herd.nodes())
        wait_until(lambda: dropped(herd, "unauthenticated") > 3 and dropped(herd, "bad_mac") > 3, "the strangers to have called", 10)
        assert {node["name"] for node in herd.nodes()} == {"n1", "n2"}
        answer = herd.chat(MODEL, stream=True, options={"num_predict": 20})
        assert answer.status == 200 and answer.lines()[-1]["done"] is True


def test_nobody_else_on_the_lan_reaches_the_gateway_of_a_keyed_node(site):
    lan, herd, _ = site.keyed_site(1)
    stranger = site.stranger(lan)
    url = "http://10.77.0.11:11436"
    body = {"model": MODEL, "messages": [{"role": "user", "content": "x"}], "stream": False}
    with Sniffer(site.hosts["n1"]) as wire:
        with inside(site.herd_host):
            assert ask(herd).status == 200
        proofs = wait_until(lambda: re.findall(r"X-Herd-Proof: ([^\r\n]+)", wire.text()), "a proof on the wire", 5)
    with inside(stranger):
        for method, path, sent in (("POST", "/api/chat", body), ("GET", "/api/tags", None), ("GET", "/", None), ("GET", "/healthz", None), ("GET", "/api/version", None),
                                   ("GET", "/herd/v1/node", None), ("GET", "/herd/v1/watch", None), ("GET", "/herd/v1/herds", None),
                                   ("DELETE", "/api/delete", {"model": MODEL}), ("OPTIONS", "/api/chat", None)):
            answer = request(url, method, path, sent, timeout=5)
            assert answer.status == 403, (method, path, answer)
            assert "serves only the herds of its fleet" in answer.json()["error"]
        for forged in (proofs[-1], proofs[-1][:-1] + ("0" if proofs[-1][-1] != "0" else "1"), "x", ""):  # first: copied off the wire
            assert request(url, "POST", "/api/chat", body, headers={"X-Herd-Proof": forged}, timeout=5).status == 403
        with pytest.raises(OSError):
            request("http://10.77.0.11:11434", path="/api/version", timeout=1)
    with inside(site.herd_host):
        assert request(url, "POST", "/api/chat", body, timeout=5).status == 403  # herd's host, but no herd
        assert ask(herd).status == 200
    with inside(site.hosts["n1"]):
        assert request("http://127.0.0.1:11436", path="/api/tags").status == 200
        assert request("http://127.0.0.1:11436", path="/herd/v1/node").json()["keys"] == [1]


def test_a_proof_is_seen_by_neither_clients_nor_ollama(site):
    lan, herd, _ = site.keyed_site(1)
    client = site.stranger(lan)
    with Sniffer(client) as wire, inside(client):
        answer = request("http://10.77.0.1:11435", "POST", "/api/chat", {"model": MODEL, "messages": [], "stream": False},
                         headers={"X-Herd-Proof": "from a client"})
        assert answer.status == 200 and answer.header("X-Herd-Proof") is None
    assert wire.text().count("X-Herd-Proof") == 1  # what the client itself sent
    with Sniffer(site.hosts["n1"]) as wire:  # lo is not on the cable: what herd sends to the agent is all that is seen
        with inside(site.herd_host):
            herd.chat(MODEL, headers={"X-Herd-Proof": "from a client"}, options={"num_predict": 1})
        wait_until(lambda: "X-Herd-Proof: " in wire.text(), "herd's request", 5)
    assert "from a client" not in wire.text()


def test_replayed_and_forged_datagrams_of_a_third_host_change_nothing(site):
    lan, herd, _ = site.keyed_site(2)
    stranger = site.stranger(lan)
    with Sniffer(site.hosts["n1"]) as wire:
        announces = wait_until(lambda: len(wire.datagrams(1)) > 2 and wire.datagrams(1), "announcements", 10)
        acks = wait_until(lambda: wire.datagrams(3), "an acknowledgement", 10)
    captured = announces[-1]
    with inside(site.herd_host):
        before = [(node["name"], node["id"], node["address"], node["since"]) for node in herd.nodes()]
    leave = bytearray(without_key(captured)[:64])
    leave[5], leave[8:10] = 4, struct.pack("!H", 70)
    leave += bytes([0x0f, 4, 1, 0, 0, 0])
    forged = bytearray(captured)
    forged[40:44] = struct.pack("!I", 0x7fffffff)  # a seq of far away
    with inside(stranger):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plain:
            plain.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 255)
            for _ in range(10):
                for datagram in (captured, bytes(forged), without_key(captured), bytes(leave), acks[0]):
                    plain.sendto(datagram, ("10.77.0.1", 11436))
                    plain.sendto(datagram, ("10.77.0.11", 11436))
        for datagram in (captured, bytes(forged), without_key(captured), bytes(leave)):
            send_as(datagram, "10.77.0.11", "10.77.0.1")
    with inside(site.herd_host):
        for result in ("addr_mismatch", "bad_mac", "unauthenticated", "replay"):
            wait_until(lambda: dropped(herd, result) > 0, "a datagram counted as " + result, 3)
        seen = set()
        until = time.monotonic() + 3
        while time.monotonic() < until:
            seen |= {(node["name"], node["state"]) for node in herd.nodes()}
            assert ask(herd).status == 200
        assert seen == {("n1", "online"), ("n2", "online")}, seen
        assert [(node["name"], node["id"], node["address"], node["since"]) for node in herd.nodes()] == before


def test_an_unkeyed_announcement_of_a_keyed_node_is_refused_where_both_are_accepted(site):
    lan = site.network.lan()
    site.herd_host = site.network.host("herd", lan, addresses=["10.77.0.1/24"])
    (site.folder / "herd").mkdir(mode=0o700)
    site.fleet_key("new")
    herd = site.start_herd("--join", "open")
    for i, more in ((1, ["--fleet-key-file", site.copy_key("n1")]), (2, [])):
        site.add_host("n%d" % i, lan, addresses=[NODES % (10 + i) + "/24"])
        site.add_sim("n%d" % i)
        site.add_node("n%d" % i, *more)
    with inside(site.herd_host):
        herd.wait_online(["n1", "n2"]).wait_models([MODEL])
        assert {node["name"]: node["trust"] for node in herd.nodes()} == {"n1": "key", "n2": "unauthenticated"}
    with Sniffer(site.hosts["n1"]) as wire:
        announces = wait_until(lambda: [one for one in wire.datagrams(1) if one[11]], "announcements under a MAC", 10)
    with inside(site.stranger(lan)), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plain:
        plain.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 255)
        plain.sendto(without_key(announces[-1]), ("10.77.0.1", 11436))
    with inside(site.herd_host):
        wait_until(lambda: dropped(herd, "downgrade") > 0, "a datagram counted as downgrade", 3)
        assert herd.online() == {"n1", "n2"} and ask(herd).status == 200


def test_a_key_is_changed_while_requests_run_and_no_node_is_lost(site):
    lan, herd, nodes = site.keyed_site(2)
    names = ["n1", "n2"]
    trouble, states, served, on = [], set(), [0], [True]

    def use():
        with inside(site.herd_host):
            while on[0]:
                try:
                    answer = ask(herd)
                    served[0] += 1
                    if answer.status != 200:
                        trouble.append(answer)
                    states.update((node["name"], node["state"]) for node in herd.nodes())
                except OSError as error:
                    trouble.append(error)

    def go_on():
        mark = served[0]
        wait_until(lambda: served[0] > mark + 100, "a hundred requests more", 30)

    def everywhere(keys):
        for name, node in zip(names, nodes):
            site.copy_key(name)
            node.signal(signal.SIGHUP)
        with inside(site.herd_host):
            wait_until(lambda: all(herd.node(name)["keys"] == keys for name in names), "every node to hold %s" % keys, 10)
    user = threading.Thread(target=use)
    user.start()
    try:
        assert "key 2 is accepted beside key 1" in site.fleet_key("add")
        early = site.fleet_key("rotate", code=1)  # no node holds it yet
        assert "n1, n2 would not know key 2" in early
        everywhere([1, 2])
        assert "key 2 is in use" in site.fleet_key("rotate")
        go_on()  # with both sides under different keys
        assert "still signs with key 1" in site.fleet_key("remove", "1", code=1)
        everywhere([2, 1])
        assert "key 1 is accepted no more" in site.fleet_key("remove", "1")
        everywhere([2])
        go_on()
    finally:
        on[0] = False
        user.join()
    report("key changed under load: %d requests, %d in trouble; states seen %s" % (served[0], len(trouble), sorted({state for _, state in states})))
    assert not trouble and served[0] > 20
    assert states <= {("n1", "online"), ("n2", "online"), ("n1", "unknown"), ("n2", "unknown")}  # unknown: asked again when key 1 went
    with inside(site.herd_host):
        assert herd.online() == {"n1", "n2"}


def test_making_a_key_shuts_a_running_herd_at_once(site):
    lan = site.network.lan()
    herd = site.add_herd(lan)
    node = site.boxes(1, lan)[0]
    with inside(site.herd_host):
        herd.wait_online(["n1"]).wait_models([MODEL])
        assert herd.node("n1")["trust"] == "open"
        said = site.fleet_key("new")
        line = re.search(r"^  (1 [0-9a-f]{64})$", said, re.M).group(1)
        assert str(site.key_file) in said and "--fleet-key-file" in said and "nodes without a key of the file are not admitted" in said
        assert os.stat(site.key_file).st_mode & 0o777 == 0o600 and line in site.key_file.read_text()
        wait_until(lambda: herd.node("n1")["state"] != "online", "the node without a key to be out", 1)
        assert "does not have this fleet's key" in herd.node("n1")["state_reason"]
        node.stop(5)
        pasted = site.folder / "pasted.key"
        pasted.write_text(line + "\n")
        os.chmod(pasted, 0o644)
        refused = site.add_node("n1", "--fleet-key-file", pasted, wait=False)
        assert refused.wait(5) == 2 and "can be read by others: chmod 600" in refused.output()
        os.chmod(pasted, 0o600)
        site.add_node("n1", "--fleet-key-file", pasted)
        herd.wait_online(["n1"], 5)
        assert ask(herd).status == 200 and herd.node("n1")["trust"] == "key"
        assert "is there already" in site.fleet_key("new", code=1)


def test_a_keyed_agent_behind_a_firewall_announces_itself_over_http(site):
    lan, herd, _ = site.keyed_site(0)
    site.add_host("n1", lan, addresses=["10.77.0.11/24"])
    site.add_sim("n1")
    subprocess.run(["ip", "netns", "exec", site.herd_host, "nft", "-f", "-"], input="table inet deaf { chain in { type filter hook input priority 0; iifname != lo meta l4proto udp drop; }; }", text=True, check=True)
    site.add_node("n1", "--herd", "10.77.0.1", "--fleet-key-file", site.copy_key("n1"))
    with inside(site.herd_host):
        herd.wait_online(["n1"], 10).wait_models([MODEL])
        assert herd.node("n1")["source"] == "http" and herd.node("n1")["trust"] == "key" and ask(herd).status == 200
    with inside(site.hosts["n1"]):
        document = request("http://127.0.0.1:11436", path="/herd/v1/node").body
    with inside(site.stranger(lan)):  # the same without a MAC, and from elsewhere
        twin = json.loads(document)
        assert request("http://10.77.0.1:11435", "POST", "/herd/v1/announce", twin).status == 403
        twin["sender_id"] = "0f8fad5b-d9cb-469f-a165-70867728950e"
        assert request("http://10.77.0.1:11435", "POST", "/herd/v1/announce", twin).status == 403
    with inside(site.herd_host):
        assert len(herd.nodes()) == 1


def test_a_restarted_agent_and_a_restarted_herd_of_a_keyed_fleet_are_back_within_a_second(site):
    _, herd, nodes = site.keyed_site(1)
    with inside(site.herd_host):
        nodes[0].kill()
        node = site.add_node("n1", "--fleet-key-file", site.folder / "key-of-n1", wait=False)
        wait_until(lambda: herd.node("n1")["state"] == "online" and ask(herd).status == 200, "the restarted agent", 5, every=0.005)
        report("keyed agent killed and started again: serving after %.0f ms" % (1000 * (time.monotonic() - node.started)))
        herd.kill()
        herd = site.start_herd()
        wait_until(lambda: herd.online() == {"n1"}, "the node after a restart of herd", 5, every=0.005)
        took = time.monotonic() - herd.started
        report("keyed herd killed and started again: node back after %.0f ms" % (1000 * took))
        assert took < 1 and ask(herd).status == 200


# ------------------------------------------------------------------------------------------------------- TLS

class Impostor(ScriptedOllama):
    """Stands where an agent stood, speaks plain HTTP and TLS on its port as that one did, and shows the document it
    showed, but with a certificate of its own."""

    def __init__(self, context, document, mac, **more):
        self.context, self.document, self.mac = context, document, mac
        self.hellos, self.shaken = 0, 0
        super().__init__(models=(MODEL,), **more)

    def _serve(self, connection):
        try:
            if connection.recv(1, socket.MSG_PEEK) == b"\x16":
                self.hellos += 1
                connection = self.context.wrap_socket(connection, server_side=True)
                self.shaken += 1
        except OSError:
            return connection.close()
        super()._serve(connection)

    def _probe(self, exchange, path):
        if path == "/herd/v1/node":
            return exchange.answer(200, self.document, headers=[("Herd-MAC", self.mac)])
        super()._probe(exchange, path)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl")
def test_a_keyed_node_is_known_by_the_certificate_it_tells_of(site, tmp_path):
    """The certificate is the agent's own; its fingerprint travels in a document that is authenticated."""
    lan, herd, _ = site.keyed_site(0)
    for i, tls in ((1, "on"), (2, "off")):
        site.add_host("n%d" % i, lan, addresses=[NODES % (10 + i) + "/24"])
        site.add_sim("n%d" % i)
    agents = {i: site.add_node("n%d" % i, "--fleet-key-file", site.copy_key("n%d" % i), "--tls", tls) for i, tls in ((1, "on"), (2, "off"))}

    def say(node, words):
        return herd.chat(MODEL, words, headers={"X-Herd-Node": node, "X-Herd-Deadline": "2"}, options={"num_predict": 1})
    with inside(site.herd_host):
        herd.wait_online(["n1", "n2"]).wait_models([MODEL])
        assert [herd.node(name)["tls"] for name in ("n1", "n2")] == [True, False]
    for node, words, readable in (("n2", "everybodyreadsthis", True), ("n1", "nobodyreadsthis", False)):
        with Sniffer(site.hosts[node], "eth0") as wire, inside(site.herd_host):
            assert say(node, words).status == 200
            if readable:
                wait_until(lambda: words in wire.text(), "the prompt on the wire", 5)
        assert (words in wire.text()) == readable
    with inside(site.hosts["n1"]):
        told = request("http://127.0.0.1:11436", path="/herd/v1/node", headers={"Herd-Nonce": "00" * 16})
    document = told.json()
    assert document["tls_sha256"] == fingerprint(site.folder / "node-n1" / "tls-cert.pem")
    other = Authority(tmp_path / "ca")
    context = other.server_context("10.77.0.11")
    document["tls_sha256"] = fingerprint(other.folder / ("cert-%d.pem" % other.count))
    agents[1].kill()
    with inside(site.hosts["n1"]):
        impostor = Impostor(context, document, told.header("Herd-MAC") or "00" * 32, host="10.77.0.11", port=11436)
    with impostor, inside(site.herd_host):
        for _ in range(5):
            assert say("n1", "secret").status in (404, 502, 503, 504)
        wait_until(lambda: impostor.heads or impostor.hellos, "herd to have asked who is there", 10)
        herd.wait_state("n1", ("offline", "unreachable"), 20)
        assert say("n1", "secret").status in (404, 502, 503, 504)
        assert impostor.hellos > 0  # it was asked over TLS, and told nothing
        assert [(method, target) for method, target, _ in impostor.heads if not target.startswith("/herd/v1/")] == []
        assert say("n2", "x").status == 200


# ------------------------------------------------------------------------------------------------ by approval

def test_a_node_waits_until_it_is_approved_and_stays_so(site):
    lan = site.network.lan()
    site.herd_host = site.network.host("herd", lan, addresses=["10.77.0.1/24"])
    herd = site.start_herd("--join", "approve")
    node = site.boxes(1, lan)[0]
    with inside(site.herd_host):
        herd.wait_state("n1", "unknown")
        waiting = wait_until(lambda: herd.node("n1")["trust"] == "waiting" and "waits for approval" in herd.node("n1")["state_reason"] and herd.node("n1"), "the node to wait", 5)
        node.line(r".*not_approved.*herd nodes approve " + waiting["id"], 5)
        assert ask(herd).status == 404
        assert "waits for approval" in cli(site.herd_host, "nodes")
        status = subprocess.run(["ip", "netns", "exec", site.hosts["n1"], program("herd-node"), "status"], capture_output=True, text=True, timeout=20).stdout
        assert "waits for approval; run there: herd nodes approve " + waiting["id"] in status
        doctor = subprocess.run(["ip", "netns", "exec", site.hosts["n1"], program("herd-node"), "doctor"], capture_output=True, text=True, timeout=20).stdout
        assert "has not let this node in yet" in doctor
        repeated = counted(herd, "ack", "sent") + 3
        wait_until(lambda: counted(herd, "ack", "sent") >= repeated, "acknowledgements that repeat it", 30)
        assert node.output().count("not_approved") == 1 and node.output().count("herd nodes approve") == 1
        assert "is let in" in cli(site.herd_host, "nodes", "approve", "n1")
        herd.wait_online(["n1"], 2).wait_models([MODEL], 2)
        assert ask(herd).status == 200 and herd.node("n1")["trust"] == "approved"
        node.line(r".* approved .*", 8)
        herd.stop()
        herd = site.start_herd("--join", "approve")
        herd.wait_online(["n1"], 2).wait_models([MODEL], 2)
        assert ask(herd).status == 200
        cli(site.herd_host, "nodes", "remove", "n1")
        assert herd.node("n1")["trust"] == "waiting" and ask(herd).status == 404
        assert request(herd.url, "POST", "/herd/v1/nodes/%s/approve" % waiting["id"]).status == 200
        herd.wait_online(["n1"], 2)
        assert request(herd.url, "POST", "/herd/v1/nodes/nobody/approve").status == 404
