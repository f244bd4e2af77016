"""The programs as programs: options, exit codes, daemons, signals, verbs."""
import json
import os
import re
import signal
import socket
import subprocess
import time

import pytest

from conftest import need
from harness import Connection, free_port, request, wait_until
from harness.programs import program, stream
from harness.scripted import ScriptedOllama

MODEL = "llama3.2:3b"


def run(name, *arguments, seconds=20, env=None, cwd=None):
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("HERD_", "OLLAMA_"))}
    done = subprocess.run([str(program(name)), *map(str, arguments)], capture_output=True, text=True, timeout=seconds, stdin=subprocess.DEVNULL,
                          env={**environment, **(env or {})}, cwd=cwd)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("name", ["herd", "herd-node", "ollama-sim"])
def test_help_and_version_are_answers(name):
    need(name)
    for flag in ("--help", "--version"):
        status, out, err = run(name, flag)
        assert status == 0 and out.strip() and not err, (flag, status, err)
    assert "--listen" in run(name, "--help")[1]


@pytest.mark.parametrize("name", ["herd", "herd-node"])
def test_bad_usage_is_exit_2_and_one_sentence_with_the_nearest_name(name, tmp_path):
    need(name)
    status, out, err = run(name, "--listne", "127.0.0.1:0")
    assert status == 2 and "--listen" in err and len(err.strip().splitlines()) <= 2, err
    assert run(name, "--listen", "nonsense:port")[0] == 2
    assert run(name, "--config", tmp_path / "missing.toml")[0] == 2


def test_a_misspelt_key_names_its_line_and_its_neighbour(tmp_path):
    need("herd")
    config = tmp_path / "herd.toml"
    config.write_text("listen = [\"127.0.0.1:0\"]\n\n[scheduler]\nqueue_per_modle = 4\n")
    status, out, err = run("herd", "--config", config, "--check-config")
    assert status == 2 and "queue_per_model" in err and "4" in err, err


def test_check_config_prints_what_is_in_force_and_flags_win_over_environment_over_file(tmp_path):
    need("herd")
    config = tmp_path / "herd.toml"
    config.write_text("threads = 1\n[scheduler]\nretries = 5\n")
    status, out, err = run("herd", "--config", config, "--check-config", env={"HERD_THREADS": "2"})
    assert status == 0 and "threads = 2" in out and "retries = 5" in out, out + err
    status, out, err = run("herd", "--config", config, "--check-config", "--threads", "3", env={"HERD_THREADS": "2"})
    assert status == 0 and "threads = 3" in out, out + err


def test_check_config_refuses_what_serve_would_and_names_line_and_key(tmp_path):
    need("herd")
    config, readable = tmp_path / "herd.toml", tmp_path / "readable"
    other = tmp_path / "other.key"
    other.write_text("no key\n")
    other.chmod(0o600)
    readable.write_text("x")
    readable.chmod(0o644)
    cases = (("[[node]]\nname = 'x'\nurl = 'http://h:1'\nbearer = 'a'\nbearer_env = 'B'\n", "line 3", "bearer"),
             ("[[node]]\nurl = 'http://h:1'\nheaders = { Host = 'x' }\n", "line 3", "headers"),
             ("[[node]]\nurl = 'http://h:1'\nkind = 'cloud'\n", "line 3", "url"),
             ("[[node]]\nurl = 'http://169.254.1.1:1'\n", "line 3", "url"),
             ("[[node]]\nurl = 'http://h:1'\nbearer_file = '%s'\n" % readable, "line 3", "bearer_file"),
             ("[[node]]\nurl = 'https://h:1'\n\ntls.ca_file = '%s'\n" % readable, "line 6", "tls.ca_file"),
             ("[tls]\ncert = 'none.pem'\nkey = 'none.key'\n", "line 4", "tls.cert: "),
             ("[tls]\ncert = 'none.pem'\nkey = '%s'\n" % readable, "line 5", "tls.key: "),
             ("[tls]\ncert = 'none.pem'\n", "line 4", "tls.cert and tls.key need each other"),
             ("[discovery]\njoin = 'key'\nfleet_key = 'short'\n", "line 5", "discovery.fleet_key: "),
             ("[discovery]\njoin = 'key'\nfleet_key_file = '%s'\n" % readable, "line 5", "chmod 600"),
             ("[discovery]\nfleet_key_file = 'none.key'\n", "line 4", "discovery.fleet_key_file: "),
             ("[discovery]\nfleet_key_file = '%s'\n" % other, "line 4", "discovery.fleet_key_file: "))
    for text, line, word in cases:
        config.write_text("threads = 1\n\n" + text)
        line = line and "herd.toml " + line
        for more in (["--check-config"], ["serve", "--check-config"], []):
            status, out, err = run("herd", *more, "--config", config, "--state-dir", tmp_path / "s", "--listen", "127.0.0.1:0")
            assert status == 2 and out == "", (text, more, out, err)
            assert line in err and word in err and len(err.strip().splitlines()) == 1, (text, more, err)
    config.write_text("[[node]]\nurl = 'http://h:1'\n[tls]\nself_signed = true\n")
    assert run("herd", "--check-config", "--config", config, "--state-dir", tmp_path / "fresh")[0] == 0 and not (tmp_path / "fresh").exists()


def test_a_taken_port_is_named_and_exit_1(fleet, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as holder:
        address = "127.0.0.1:%d" % holder.getsockname()[1]
        status, out, err = run("herd", "serve", "--listen", address, "--no-discovery", "--state-dir", tmp_path / "s", cwd=tmp_path)
        assert status == 1 and address.split(":")[1] in err and ("taken" in err or "in use" in err), out + err
        need("herd-node")
        status, out, err = run("herd-node", "--listen", address, "--ollama", "http://127.0.0.1:1", "--interface", "lo", "--discovery-port", free_port(socket.SOCK_DGRAM),
                               "--state-dir", tmp_path / "n", cwd=tmp_path)
        assert status == 1 and address.split(":")[1] in out + err, out + err


def test_a_second_herd_on_one_state_directory_does_not_start(fleet):
    """Both would keep nodes, settings and keys in the same files: what one was told the other would write over."""
    herd = fleet.herd(state="shared")
    started = time.monotonic()
    status, out, err = run("herd", "serve", "--listen", "127.0.0.1:0", "--no-discovery", "--state-dir", fleet.folder / "shared", cwd=fleet.folder)
    assert status == 1 and time.monotonic() - started < 5, out + err
    assert str(fleet.folder / "shared") in err and "process %d" % herd.popen.pid in err and "--state-dir" in err, err
    assert len(err.strip().splitlines()) == 1 and "listening" not in out, out + err
    assert request(herd.url, path="/healthz").status == 200
    herd.stop()
    fleet.herd(state="shared") # the lock went with the first


def test_one_herd_listens_on_several_addresses(fleet):
    herd = fleet.herd("--listen", "127.0.0.2:0")
    urls = [line.split()[-1] for line in herd.output().splitlines() if line.startswith("herd listening on ")]
    assert len(urls) == 2 and all(request(url, path="/healthz").status == 200 for url in urls), urls


# ---------------------------------------------------------------------------------------------------------- daemon

class Daemon:
    def __init__(self, fleet, name="herd", listen="127.0.0.1:0", *more):
        self.pid_file, self.log = fleet.folder / (name + ".pid"), fleet.folder / (name + ".log")
        self.arguments = ["--listen", listen, "--state-dir", fleet.folder / ("d-" + name), "--interface", "lo", "--discovery-port", fleet.discovery_port,
                          "-d", "--pid-file", self.pid_file, "--log-file", self.log, *more]
        self.name, self.cwd = name, fleet.folder

    def start(self):
        return run(self.name, *self.arguments, cwd=self.cwd)

    def pid(self):
        return int(self.pid_file.read_text().split()[0])

    def alive(self):
        try:
            os.kill(self.pid(), 0)
            return "Z" not in open("/proc/%d/stat" % self.pid()).read().rsplit(")", 1)[1].split()[0]
        except (OSError, ValueError):
            return False

    def end(self):
        try:
            pid = self.pid()
            if os.readlink("/proc/%d/exe" % pid) == str(program(self.name).resolve()):
                os.kill(pid, signal.SIGKILL)
        except (OSError, ValueError):
            pass


@pytest.fixture
def daemon(fleet):
    made = []

    def make(*arguments, **more):
        made.append(Daemon(fleet, *arguments, **more))
        return made[-1]
    yield make
    for one in made:
        one.end()


def test_the_starter_returns_when_the_daemon_is_ready(daemon):
    port = free_port()
    herd = daemon("herd", "127.0.0.1:%d" % port)
    status, out, err = herd.start()
    assert status == 0, out + err
    assert request("127.0.0.1:%d" % port, path="/healthz").status == 200, "ready means ready, without a retry"
    pid = herd.pid()
    assert os.getsid(pid) != os.getsid(0) and open("/proc/%d/stat" % pid).read().rsplit(")", 1)[1].split()[1] != str(os.getpid())
    os.kill(pid, signal.SIGTERM)
    wait_until(lambda: not herd.alive(), "the daemon to end", 10)
    assert herd.log.read_text().strip()


def test_a_second_daemon_on_the_pid_file_says_who_holds_it(daemon):
    first = daemon("herd")
    assert first.start()[0] == 0
    status, out, err = first.start()
    assert status == 1 and str(first.pid()) in out + err, out + err
    assert first.alive()


def test_a_daemon_that_cannot_start_says_why_to_its_starter(daemon):
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        status, out, err = daemon("herd", "127.0.0.1:%d" % port).start()
        assert status == 1 and str(port) in out + err, out + err


def test_a_stale_pid_file_is_no_obstacle(daemon):
    herd = daemon("herd")
    assert herd.start()[0] == 0
    os.kill(herd.pid(), signal.SIGKILL)
    wait_until(lambda: not herd.alive(), "the daemon to be dead")
    assert herd.start()[0] == 0


def test_the_agent_is_a_daemon_too(daemon):
    need("herd-node")
    port = free_port()
    node = daemon("herd-node", "127.0.0.1:%d" % port, "--ollama", "http://127.0.0.1:1")
    status, out, err = node.start()
    assert status == 0, out + err
    assert request("127.0.0.1:%d" % port, path="/herd/v1/node").status == 200
    os.kill(node.pid(), signal.SIGTERM)
    wait_until(lambda: not node.alive(), "the agent to end", 10)


@pytest.mark.parametrize("name", ["herd", "herd-node"])
def test_a_daemon_lets_go_of_a_log_that_was_rotated(daemon, name):
    need(name)
    one = daemon(name, *(["127.0.0.1:%d" % free_port(), "--ollama", "http://127.0.0.1:1"] if name == "herd-node" else []))
    assert one.start()[0] == 0
    old = one.log.with_name(one.log.name + ".1")
    one.log.rename(old)
    os.kill(one.pid(), signal.SIGHUP)

    def open_files():
        return [os.readlink(entry.path) for entry in os.scandir("/proc/%d/fd" % one.pid())]
    wait_until(lambda: str(old) not in open_files(), "the old log to be closed", 5)
    assert one.log.exists() and os.readlink("/proc/%d/fd/2" % one.pid()) == str(one.log)


def test_systemd_is_told_when_it_is_ready_and_when_it_stops(fleet):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        path = str(fleet.folder / "notify")
        notify.bind(path)
        notify.settimeout(10)
        herd = fleet.herd(env={"NOTIFY_SOCKET": path})
        assert b"READY=1" in notify.recv(4096)
        herd.signal(signal.SIGTERM)
        assert b"STOPPING=1" in notify.recv(4096)
        assert herd.wait(10) == 0


@pytest.mark.parametrize("name", ["herd", "herd-node"])
def test_lines_for_systemds_journal_carry_their_priority_and_no_time(name, tmp_path):
    log = tmp_path / "stderr"
    words = {"herd": ["--no-discovery", "--listen", "127.0.0.1:0"],
             "herd-node": ["--no-discovery", "--herd", "127.0.0.1:9", "--listen", "127.0.0.1:0", "--ollama", "http://127.0.0.1:9"]}[name]

    def lines(mine):
        with open(log, "w") as stderr:
            at = os.fstat(stderr.fileno())
            stream = "%d:%d" % (at.st_dev, at.st_ino if mine else at.st_ino + 1)
            program_ = subprocess.Popen([program(name), "--state-dir", str(tmp_path / "state"), *words], stdout=subprocess.PIPE, stderr=stderr,
                                        env={**os.environ, "JOURNAL_STREAM": stream})
            assert "listening on" in program_.stdout.readline().decode()
            wait_until(lambda: "app started" in log.read_text(), "its first lines", 10)
            program_.send_signal(signal.SIGTERM)
            assert program_.wait(10) == 0
        return log.read_text().splitlines()
    assert all(re.match(r"<[3467]>(error|warn|info|debug) ", line) for line in lines(True)), "sd-daemon(3)"
    assert all(re.match(r"20\d\d-\d\d-\d\dT", line) for line in lines(False)), "the variable is inherited, the stream is another"


# --------------------------------------------------------------------------------------------------------- signals

def slow_stream(exchange):
    exchange.begin()
    for i in range(10):
        exchange.chunk(b'{"n":%d}\n' % i)
        time.sleep(0.1)
    exchange.chunk(b'{"model":"m","done":true}\n')
    exchange.end()


def test_sigterm_finishes_streams_and_takes_nothing_new(fleet):
    with ScriptedOllama(script=slow_stream) as backend:
        herd = fleet.static(backend)
        connection, answer, pieces = stream(herd.url, "/api/chat", {"model": "m", "messages": [{"role": "user", "content": "x"}]})
        next(pieces)
        herd.signal(signal.SIGTERM)

        def refused():
            try:
                return request(herd.url, "POST", "/api/chat", {"model": "m", "messages": []}, timeout=1).status == 503
            except OSError:
                return True
        wait_until(refused, "new requests to be refused", 2)
        for _ in pieces:
            pass
        assert answer.ended and answer.lines()[-1]["done"], "the stream was cut"
        assert herd.wait(5) == 0
        connection.close()


def test_a_second_sigterm_means_now(fleet):
    def endless(exchange):
        exchange.begin()
        exchange.chunk(b'{"n":1}\n')
        exchange.wait_for_close(30)

    with ScriptedOllama(script=endless) as backend:
        herd = fleet.static(backend)
        connection, answer, pieces = stream(herd.url, "/api/chat", {"model": "m", "messages": [{"role": "user", "content": "x"}]})
        next(pieces)
        herd.signal(signal.SIGTERM)
        with pytest.raises(AssertionError):
            herd.wait(0.5)
        herd.signal(signal.SIGTERM)
        herd.wait(3)
        connection.close()


def endless(exchange):
    exchange.begin()
    exchange.chunk(b'{"n":1}\n')
    exchange.wait_for_close(30)


@pytest.mark.parametrize("how", ["grace over", "second SIGTERM"])
def test_what_is_cut_off_at_the_end_is_told_and_recorded_as_no_fault_of_its_client(fleet, how):
    with ScriptedOllama(script=endless) as backend:
        config = fleet.config('[[node]]\nname = "b1"\nurl = "%s"\nslots = 1\n' % backend.url)
        # One loop ends its newest first; of two the slot of the first may reach the second before its own end does.
        arguments = ["--threads", "1", "--shutdown-grace", "1s" if how == "grace over" else "20s"]
        herd = fleet.herd(*arguments, discovery=False, config=config).wait_online(["b1"])
        chat = {"model": "m", "messages": [{"role": "user", "content": "x"}]}
        connection, answer, pieces = stream(herd.url, "/api/chat", chat)
        next(pieces)
        waiting = socket.create_connection(("127.0.0.1", int(herd.url.rsplit(":", 1)[1])), timeout=10)
        body = json.dumps(chat).encode()
        waiting.sendall(b"POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        wait_until(lambda: request(herd.url, "GET", "/herd/v1/status").json()["requests"]["queued"] == 1, "the second to wait")
        herd.signal(signal.SIGTERM)
        if how != "grace over":
            herd.signal(signal.SIGTERM)
        for _ in pieces:
            pass
        assert "herd was stopped" in answer.lines()[-1]["error"], answer.lines()
        told = b""
        while part := waiting.recv(65536):
            told += part
        assert told.startswith(b"HTTP/1.1 503 ") and b"herd was stopped" in told, told
        assert herd.wait(5) == 0
        connection.close()
        waiting.close()
        again = fleet.herd(discovery=False, config=config).wait_online(["b1"])
        records = request(again.url, "GET", "/herd/v1/requests").json()["requests"]
        ends = sorted((record["status"], record["termination"]) for record in records if record["path"] == "/api/chat")
        assert ends == [(200, "PD"), (503, "PQ")], records


def test_the_agent_says_goodbye(fleet):
    need("herd-node", "ollama-sim")
    herd, nodes, sims = fleet.simulated(1)
    nodes[0].signal(signal.SIGTERM)
    herd.wait_state("n1", ("draining", "offline", "absent"), 0.5)
    assert nodes[0].wait(10) == 0
    herd.wait_state("n1", ("offline", "absent"), 2)


def test_sighup_applies_a_new_file_without_dropping_a_stream(fleet):
    with ScriptedOllama(script=slow_stream) as backend, ScriptedOllama() as second:
        node = '[[node]]\nname = "%s"\nurl = "%s"\n'
        config = fleet.config(node % ("b1", backend.url))
        herd = fleet.herd(discovery=False, config=config).wait_online(["b1"])
        connection, answer, pieces = stream(herd.url, "/api/chat", {"model": "m", "messages": [{"role": "user", "content": "x"}]})
        next(pieces)
        config.write_text(node % ("b1", backend.url) + node % ("b2", second.url))
        herd.signal(signal.SIGHUP)
        herd.wait_online(["b1", "b2"], 5)
        for _ in pieces:
            pass
        assert answer.ended and answer.lines()[-1]["done"]
        connection.close()
        config.write_text("this is = = not toml\n")
        herd.signal(signal.SIGHUP)
        herd.line(r"(?i)(error|warn|invalid|bad|reload).*", 5)
        wait_until(lambda: herd.online() == {"b1", "b2"}, "the old settings to stay in force")
        assert herd.alive()


# ----------------------------------------------------------------------------------------------------------- verbs

def test_the_verbs_of_herd(sim_fleet):
    herd, nodes, sims = sim_fleet.simulated(2)
    herd.chat(MODEL)

    def verb(*arguments):
        return run("herd", *arguments, "--url", herd.url)
    for name in ("status", "nodes", "models", "ps"):
        status, out, err = verb(name)
        assert status == 0 and out.strip(), (name, err)
        status, out, err = verb(name, "--json")
        assert status == 0 and isinstance(json.loads(out), dict), (name, out[:200])
    assert "n1" in verb("nodes")[1] and "n2" in verb("nodes")[1] and MODEL in verb("models")[1]
    loaded = [line.split() for line in verb("ps")[1].splitlines() if MODEL in line]
    assert loaded and all(words[-1] in ("n1", "n2") for words in loaded), loaded
    status, out, err = verb("drain", "n1")
    assert status == 0, err
    herd.wait_state("n1", "draining", 2)
    assert verb("resume", "n1")[0] == 0
    herd.wait_online(["n1"], 3)
    status, out, err = verb("drain", "nowhere")
    assert status == 1 and "nowhere" in err
    assert verb("reload")[0] == 0
    assert run("herd", "status", env={"HERD_URL": herd.url})[0] == 0
    assert verb("stop")[0] == 0
    assert herd.wait(10) == 0
    status, out, err = verb("status")
    assert status == 1 and herd.url.split("//")[1] in err, err


def test_a_reload_says_what_waits_for_a_restart_for_as_long_as_it_does(fleet):
    path = fleet.config('cluster = "one"\n')
    herd = fleet.herd(config=path)
    path.write_text('cluster = "two"\n[limits]\nnodes = 7\n')
    for _ in range(2):
        status, out, err = run("herd", "reload", "--url", herd.url)
        assert status == 0 and "restart herd to apply: cluster, limits.nodes" in out, out + err
        shown = herd.get("/herd/v1/config").json()
        assert shown["cluster"] == {"value": "one", "from": "in use until a restart", "after_restart": "two"}
        assert shown["limits.nodes"]["value"] == 4096 and shown["limits.nodes"]["after_restart"] == 7
    path.write_text('cluster = "one"\n')
    assert herd.post("/herd/v1/reload").json() == {"status": "reloaded", "needs_restart": []}
    assert herd.get("/herd/v1/config").json()["cluster"]["value"] == "one"


def test_an_unknown_verb_names_the_nearest(tmp_path):
    need("herd")
    status, out, err = run("herd", "statsu", cwd=tmp_path)
    assert status == 2 and "status" in err, err


def test_the_state_directory_brings_the_fleet_back(sim_fleet):
    herd, nodes, sims = sim_fleet.simulated(2)
    address = herd.url.split("//")[1]
    ids = {node["name"]: node["id"] for node in herd.nodes()}
    assert herd.stop() == 0
    again = sim_fleet.herd(listen=address)
    again.wait_online(["n1", "n2"], 5).wait_models([MODEL])
    assert {node["name"]: node["id"] for node in again.nodes()} == ids
    assert again.chat(MODEL).status == 200


def test_after_a_restart_a_model_that_only_an_absent_node_has_is_not_called_unknown(sim_fleet):
    """404 makes `ollama run` pull the model; 503 says what is true. For announced and for configured nodes alike."""
    sims = [sim_fleet.sim("here:1b"), sim_fleet.sim("announced:1b"), sim_fleet.sim("configured:1b")]
    config = sim_fleet.config('[scheduler]\nhold_timeout = "300ms"\n[[node]]\nname = "plain"\nurl = "%s"\n' % sims[2].url)
    herd = sim_fleet.herd(config=config)
    nodes = [sim_fleet.node("n%d" % i, sim) for i, sim in enumerate(sims[:2], 1)]
    herd.wait_online(["n1", "n2", "plain"]).wait_models(["here:1b", "announced:1b", "configured:1b"])
    state = sim_fleet.folder / "herd" / "fleet.json"
    wait_until(lambda: all(name in state.read_text() for name in ("announced:1b", "configured:1b")), "the models to be saved", 5)
    herd.kill()  # nothing is saved at the end
    nodes[1].kill()
    sims[2].kill()
    herd = sim_fleet.herd(config=config)
    herd.wait_online(["n1"]).wait_models(["here:1b"])
    for model in ("announced:1b", "configured:1b"):
        answer = herd.chat(model)
        assert answer.status == 503 and b"can be reached" in answer.body, (model, answer)
        assert request(herd.url, "POST", "/api/show", {"model": model}).status == 503
    assert herd.chat("unheard:1b").status == 404
    assert [row["name"] for row in herd.get("/api/tags").json()["models"]] == ["here:1b"]
    assert herd.chat("here:1b").status == 200


def test_connections_without_end_do_not_exhaust_herd(fleet):
    """Clients that connect and say nothing, and clients that say half a request, are shown the door; others are served."""
    with ScriptedOllama() as backend:
        herd = fleet.static(backend)
        lazy = [Connection(herd.url) for _ in range(300)]
        for connection in lazy[:150]:
            connection.send_raw(b"POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
        for _ in range(20):
            assert request(herd.url, "POST", "/api/generate", {"model": "m", "prompt": "x"}, timeout=5).status == 200
        for connection in lazy:
            connection.reset()
        wait_until(lambda: herd.status()["requests"]["in_flight"] == 0, "nothing in flight", 3)
        descriptors = len(os.listdir("/proc/%d/fd" % herd.pid))
        wait_until(lambda: len(os.listdir("/proc/%d/fd" % herd.pid)) < 60, "descriptors to be given back (now %d)" % descriptors, 5)


def test_the_log_is_one_line_per_event_and_holds_no_prompt(fleet):
    with ScriptedOllama() as backend:
        herd = fleet.static(backend)
        request(herd.url, "POST", "/api/generate", {"model": "m", "prompt": "the-secret-prompt"})
        log = herd.line(r".*b1.*", 5) and herd.output()
        assert "the-secret-prompt" not in log
    json_log = fleet.herd("--log-format", "json", "--log-level", "debug", discovery=False, state="json")
    request(json_log.url, path="/healthz")
    json_log.stop()
    lines = [line for line in json_log.output().splitlines() if line and not line.startswith("herd listening on ")]
    assert lines and all(isinstance(json.loads(line), dict) for line in lines), lines[:3]


