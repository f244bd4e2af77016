"""HTTPS at herd's own port, and between herd and herd-node, with clients as people have them."""
import json
import os
import signal
import socket
import ssl
import subprocess
import threading

import pytest

from conftest import need
from harness import request, wait_until
from harness.certificates import Authority, fingerprint
from harness.programs import program, stream

pytestmark = pytest.mark.skipif(subprocess.run(["which", "openssl"], capture_output=True).returncode != 0, reason="there is no openssl")
MODEL = "llama3.2:3b"


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


def https(herd):
    return "https" + herd.url[4:]


def curl(*arguments):
    done = subprocess.run(["curl", "-sS", "--max-time", "20", *map(str, arguments)], capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def served_certificate(herd):
    host, port = herd.url.rsplit("/", 1)[1].split(":")
    return ssl.get_server_certificate((host, int(port)))


@pytest.fixture
def secure(sim_fleet, authority):
    """A herd with TLS in front of one simulated Ollama."""
    certificate, key = authority.certificate("127.0.0.1", "localhost")
    herd = sim_fleet.herd("--tls-cert", certificate, "--tls-key", key)
    sim_fleet.node("n1", sim_fleet.sim(MODEL))
    return herd.wait_online(["n1"]).wait_models([MODEL])


def test_one_port_serves_both(secure, authority):
    plain = curl(secure.url + "/api/version")
    inside = curl("--cacert", authority.file, https(secure) + "/api/version")
    assert plain[0] == 0 and plain == inside
    assert "version" in json.loads(inside[1])
    assert curl(https(secure) + "/api/version")[0] == 60  # the authority is not known to the system
    secure.line(r"^herd listening on (https://\S+)\s*$")


def test_a_stream_and_a_large_body(secure, authority, tmp_path):
    body = tmp_path / "body.json"
    body.write_text(json.dumps({"model": MODEL, "messages": [{"role": "user", "content": "x"}], "stream": True, "ignored": "x" * 3_000_000}))
    code, out, err = curl("--cacert", authority.file, "-N", "-d", "@%s" % body, https(secure) + "/api/chat")
    assert code == 0, err
    lines = [json.loads(line) for line in out.splitlines()]
    assert len(lines) > 1 and lines[-1]["done"]


def test_old_versions_of_tls_are_refused(secure, authority):
    for option, fine in (("--tls-max=1.1", False), ("--tls-max=1.2", True), ("--tlsv1.3", True)):
        words = option.split("=")
        assert (curl("--cacert", authority.file, *([words[0], words[1]] if len(words) > 1 else words), https(secure) + "/api/version")[0] == 0) is fine, option


def test_tls_only(sim_fleet, authority):
    certificate, key = authority.certificate("127.0.0.1")
    config = sim_fleet.config('[tls]\ncert = "%s"\nkey = "%s"\nonly = true\n' % (certificate, key))
    herd = sim_fleet.herd(config=config, wait=False)
    herd.url = herd.line(r"^herd listening on (https://\S+)\s*$").group(1)
    assert curl("--cacert", authority.file, herd.url + "/healthz")[0] == 0
    refused = request("http" + herd.url[5:], path="/api/version")
    assert refused.status == 400 and refused.json() == {"error": "this port speaks TLS only: use https"}
    line = herd.line(r"(.*request_done id=%s .*)" % refused.header("X-Herd-Request-Id")).group(1)
    assert " status=400 end=PR " in line and 'error="this port speaks TLS only: use https"' in line


def test_a_certificate_of_herds_own_making(sim_fleet):
    herd = sim_fleet.herd("--tls-self-signed")
    file = sim_fleet.folder / "herd" / "tls-cert.pem"
    for name in ("127.0.0.1", "localhost"):
        assert curl("--cacert", file, https(herd).replace("127.0.0.1", name) + "/healthz")[0] == 0
    assert (sim_fleet.folder / "herd" / "tls-key.pem").stat().st_mode & 0o777 == 0o600
    first = served_certificate(herd)
    herd.stop()
    again = sim_fleet.herd("--tls-self-signed")
    assert served_certificate(again) == first


def test_reload_takes_a_new_certificate_and_leaves_streams_alone(sim_fleet, authority):
    files = [authority.certificate("127.0.0.1") for _ in range(2)]
    cert, key = sim_fleet.folder / "now.pem", sim_fleet.folder / "now.key"
    key.touch(0o600)

    def put(number):
        cert.write_bytes(files[number][0].read_bytes())
        key.write_bytes(files[number][1].read_bytes())
    put(0)
    herd = sim_fleet.herd("--tls-cert", cert, "--tls-key", key)
    sim_fleet.node("n1", sim_fleet.sim(MODEL, "--decode", "20"))
    herd.wait_online(["n1"]).wait_models([MODEL])
    flowing = threading.Event()
    got = {}

    def read():
        child = subprocess.Popen(["curl", "-sSN", "--cacert", str(authority.file), "-d",
                                  json.dumps({"model": MODEL, "messages": [{"role": "user", "content": "hi"}], "options": {"num_predict": 30}}), https(herd) + "/api/chat"],
                                 stdout=subprocess.PIPE, text=True)
        lines = []
        for line in child.stdout:
            lines.append(json.loads(line))
            flowing.set()
        got["lines"], got["code"] = lines, child.wait()
    reader = threading.Thread(target=read)
    reader.start()
    assert flowing.wait(20)
    first = served_certificate(herd)
    put(1)
    herd.signal(signal.SIGHUP)
    wait_until(lambda: served_certificate(herd) != first, "the new certificate to be served")
    reader.join(30)
    assert got["code"] == 0 and got["lines"][-1]["done"]
    # What cannot be used is refused whole, and the old one stays.
    second = served_certificate(herd)
    cert.write_text("garbage")
    answer = herd.post("/herd/v1/reload")
    assert answer.status == 400 and "tls.cert" in answer.json()["error"]
    assert served_certificate(herd) == second


def test_clients_must_show_a_certificate_when_asked(sim_fleet, authority):
    certificate, key = authority.certificate("127.0.0.1")
    config = sim_fleet.config('[tls]\ncert = "%s"\nkey = "%s"\nclient_ca = "%s"\n' % (certificate, key, authority.file))
    herd = sim_fleet.herd(config=config)
    own, own_key = authority.certificate("somebody", usage="clientAuth")
    assert curl("--cacert", authority.file, https(herd) + "/healthz")[0] != 0
    assert curl("--cacert", authority.file, "--cert", own, "--key", own_key, https(herd) + "/healthz")[0] == 0


def test_what_cannot_work_is_said_at_the_start(sim_fleet, authority, tmp_path):
    certificate, key = authority.certificate("127.0.0.1")
    (tmp_path / "empty.toml").write_text("")
    readable = tmp_path / "readable.key"
    readable.write_bytes(key.read_bytes())
    readable.chmod(0o604)
    for arguments, words in ((["--tls-cert", certificate], "tls.cert and tls.key need each other"),
                             (["--tls-cert", certificate, "--tls-key", key, "--tls-self-signed"], "exclude each other"),
                             (["--tls-cert", tmp_path / "none.pem", "--tls-key", key], "tls.cert"),
                             (["--tls-cert", certificate, "--tls-key", readable], "can be read by others: chmod 600")):
        done = subprocess.run([program("herd"), "--config", tmp_path / "empty.toml", "--listen", "127.0.0.1:0", "--no-discovery", "--state-dir", tmp_path / "s", *arguments],
                              capture_output=True, text=True, timeout=10)
        assert done.returncode == 2 and words in done.stderr, done.stderr


def test_the_official_python_clients(secure, authority):
    ollama = pytest.importorskip("ollama")
    openai = pytest.importorskip("openai")
    client = ollama.Client(host=https(secure), verify=str(authority.file))
    assert MODEL in {model.model for model in client.list().models}
    parts = list(client.chat(MODEL, [{"role": "user", "content": "why?"}], stream=True))
    assert parts[-1].done and len(parts) > 1
    import httpx
    compatible = openai.OpenAI(base_url=https(secure) + "/v1", api_key="x", http_client=httpx.Client(verify=str(authority.file)))
    answer = compatible.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "hi"}])
    assert answer.choices[0].message.content
    chunks = list(compatible.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "hi"}], stream=True))
    assert len(chunks) > 1


def test_herds_own_verbs(secure, authority):
    environment = dict(os.environ, SSL_CERT_FILE=str(authority.file))
    done = subprocess.run([program("herd"), "status", "--url", https(secure)], capture_output=True, text=True, env=environment, timeout=20)
    assert done.returncode == 0, done.stderr
    refused = subprocess.run([program("herd"), "status", "--url", https(secure)], capture_output=True, text=True, timeout=20)
    assert refused.returncode == 1


def test_half_a_handshake_does_no_harm(secure):
    host, port = secure.url.rsplit("/", 1)[1].split(":")
    silent = [socket.create_connection((host, int(port))) for _ in range(20)]
    for i, one in enumerate(silent):
        one.sendall(b"\x16\x03\x01"[:i % 4] if i % 2 else b"\x16\x03\x01\x02\x00garbage garbage")
    assert secure.get("/healthz").status == 200
    for one in silent:
        one.close()


def test_agents_speak_tls_with_the_certificate_they_tell_of(sim_fleet):
    herd = sim_fleet.herd()
    sim_fleet.node("n1", sim_fleet.sim(MODEL), "--tls", "on")
    sim_fleet.node("n2", sim_fleet.sim("other:latest"))
    herd.wait_online(["n1", "n2"]).wait_models([MODEL, "other"])
    agent = herd.node("n1")
    assert agent["tls"] is True and herd.node("n2")["tls"] is False
    document = request(agent["url"] if agent["url"] else "", path="/herd/v1/node").json()
    assert document["tls_sha256"] == fingerprint(sim_fleet.folder / "node-n1" / "tls-cert.pem")
    assert herd.chat(MODEL).status == 200
    connection, answer, pieces = stream(herd.url, "/api/chat", {"model": MODEL, "messages": [{"role": "user", "content": "x"}]})
    with connection:
        assert json.loads(list(pieces)[-1].splitlines()[-1])["done"]
    assert answer.header("X-Herd-Node") == "n1"


def test_ollamas_own_command(secure, authority, ollama_binary):
    environment = dict(os.environ, OLLAMA_HOST=https(secure), SSL_CERT_FILE=str(authority.file))
    listed = subprocess.run([str(ollama_binary), "list"], capture_output=True, text=True, env=environment, timeout=30)
    assert listed.returncode == 0 and MODEL in listed.stdout, listed.stderr
    answered = subprocess.run([str(ollama_binary), "run", MODEL, "hi"], capture_output=True, text=True, env=environment, timeout=60)
    assert answered.returncode == 0 and answered.stdout.strip(), answered.stderr
    del environment["SSL_CERT_FILE"]
    assert subprocess.run([str(ollama_binary), "list"], capture_output=True, env=environment, timeout=30).returncode != 0


def test_a_file_that_cannot_be_used_is_told_with_the_line_that_names_it_at_a_reload_too(sim_fleet, authority, tmp_path):
    certificate, key = authority.certificate("127.0.0.1")
    other = authority.certificate("other")[1]
    sim = sim_fleet.sim(MODEL)
    good = '[[node]]\nname = "b1"\nurl = "%s"\n' % sim.url
    config = sim_fleet.config(good)
    herd = sim_fleet.herd(discovery=False, config=config).wait_online(["b1"])
    cases = (("[tls]\ncert = '%s'\nkey = '%s'\n" % (certificate, other), 6, "tls.key: "),
             ("[tls]\ncert = '%s'\nkey = '%s'\nclient_ca = '%s'\n" % (certificate, key, key), 7, "tls.client_ca: "),
             ("[tls]\ncert = '%s'\nkey = 'none.key'\n" % certificate, 6, "tls.key: "),
             ("[discovery]\nfleet_key_file = 'none.key'\n", 5, "discovery.fleet_key_file: "),
             ("[[node]]\nname = 'x'\nurl = 'https://h:1'\ntls.ca_file = 'none.pem'\n", 7, "tls.ca_file: "))
    for text, line, word in cases:
        config.write_text(good + text)
        wanted = "%s line %d: " % (config.name, line)
        answer = herd.post("/herd/v1/reload")
        assert answer.status == 400 and wanted in answer.json()["error"] and word in answer.json()["error"], (text, answer.body)
        done = subprocess.run([program("herd"), "--check-config", "--config", config, "--state-dir", tmp_path / "s"], capture_output=True, text=True, timeout=10)
        assert done.returncode == 2 and wanted in done.stderr and word in done.stderr, (text, done.stderr)
    assert herd.chat(MODEL).status == 200  # all stayed as it was


def test_herd_node_tells_the_line_that_names_a_key_file(tmp_path):
    need("herd-node")
    config = tmp_path / "herd-node.toml"
    config.write_text("name = 'x'\n[discovery]\nfleet_key_file = 'none.key'\n")
    for more in (["--check-config"], ["--listen", "127.0.0.1:0", "--interface", "lo"]):
        done = subprocess.run([program("herd-node"), "--config", config, "--state-dir", tmp_path / "s", *more], capture_output=True, text=True, timeout=10)
        assert done.returncode == 2 and "herd-node.toml line 3: discovery.fleet_key_file: cannot read " in done.stderr, done.stderr
        assert len(done.stderr.strip().splitlines()) == 1
