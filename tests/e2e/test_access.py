"""API keys: every route against every kind of caller, limits, revoking, secrets that never show, clients with keys."""
import json
import os
import re
import sqlite3
import stat
import subprocess
import threading

import pytest

from harness import Connection, request, wait_until
from harness.lan import inside
from harness.ollama import TEXT
from harness.programs import ROOT, Herd, program
from harness.scripted import ScriptedOllama

MODEL = "llama3.2:3b"
CHAT = {"model": MODEL, "stream": False, "messages": [{"role": "user", "content": "hi"}]}
REQUIRED = "[access]\nrequire_key = true\n"


def bearer(secret):
    return [("Authorization", "Bearer " + secret)]


@pytest.fixture
def keyed(sim_fleet):
    """A herd that requires keys, with one simulated Ollama; herd.key is that of its admin."""
    return start_keyed(sim_fleet, sim_fleet.sim(MODEL + ",other:1b").url)


def start_keyed(fleet, backend, config="", *arguments):
    herd = fleet.herd(*arguments, discovery=False, config=fleet.config(REQUIRED + config + '[[node]]\nname = "b1"\nurl = "%s"\n' % backend))
    herd.add_key("root", scope="admin")
    return herd.wait_online(["b1"])


def verb(herd, *words, key=None, **more):
    environment = {"HERD_URL": herd.url, **({"HERD_API_KEY": key} if key else {})}
    return subprocess.run([program("herd"), *words], capture_output=True, text=True, timeout=30, env=environment, stdin=subprocess.DEVNULL, **more)


def all_routes():
    done = subprocess.run([program("herd"), "--dump-routes"], capture_output=True, text=True, timeout=10, check=True)
    routes = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(routes) > 60 and {route["scope"] for route in routes} == {"open", "node", "user", "fleet", "admin", "proxied"}
    return routes


# ------------------------------------------------------------------------------------------------- the access matrix

class Callers:
    """One secret of each kind, and an address of its own for every wrong one: those are throttled."""

    def __init__(self, herd):
        self.herd = herd
        self.user = herd.add_key("user")
        self.revoked = herd.add_key("revoked", scope="admin")
        assert herd.delete("/herd/v1/keys/revoked").status == 200
        self.expired = herd.add_key("expired", scope="admin", expires="50ms")
        wait_until(lambda: self.state("expired") == "expired", "the key to expire")
        self.last = 1

    def state(self, name):
        return next(key["state"] for key in self.herd.get("/herd/v1/keys").json()["keys"] if key["name"] == name)

    def ask(self, who, method, path):
        """The status; None when the connection only streams on."""
        self.last += 1
        secret = {"none": None, "wrong": "herd_" + "0" * 40, "user": self.user, "revoked": self.revoked, "expired": self.expired, "admin": self.herd.key}[who]
        with Connection(self.herd.url, 10, source="127.%d.%d.1" % (1 + self.last // 250, self.last % 250)) as connection:
            connection.send(method, path, {} if method in ("POST", "PUT", "DELETE") else None, bearer(secret) if secret else ())
            return connection.head().status


def concrete(route):
    """A path of the pattern that does no harm: of a node, key and model that do not exist."""
    path = route["path"]
    return re.sub(r"(?<=/):", "sha256:" + "0" * 64 if "blobs" in path else "nobody", path)


def expected(scope, who, required):
    bad = who in ("none", "wrong", "revoked", "expired")
    if scope in ("open", "node"):
        return "passes"
    if scope == "admin":
        return 401 if bad else 403 if who == "user" else "passes"
    return 401 if bad and required else "passes"


@pytest.mark.parametrize("required", [True, False], ids=["keys required", "only an admin key"])
def test_the_access_matrix(sim_fleet, required):
    """Every route of both tables × every kind of caller, made from the tables that the program itself goes by."""
    sim = sim_fleet.sim(MODEL)
    config = '[compat]\nollamaflow_admin = true\n[access]\nrequire_key = %s\n[[node]]\nname = "b1"\nurl = "%s"\n' % (str(required).lower(), sim.url)
    herd = sim_fleet.herd(discovery=False, config=sim_fleet.config(config))
    herd.add_key("root", scope="admin")
    herd.wait_online(["b1"])
    callers = Callers(herd)
    wrong, cells = [], 0
    stops = ("POST", "/herd/v1/stop")
    for route in all_routes():
        for who in ("none", "wrong", "user", "revoked", "expired", "admin"):
            if (route["method"], route["path"]) == stops and who == "admin":
                continue  # at the end
            want = expected(route["scope"], who, required)
            got = callers.ask(who, route["method"], concrete(route))
            cells += 1
            fits = got == want if want != "passes" else got not in (401, 403)
            if route["scope"] == "node":
                fits = got == 403  # discovery's own word: it is switched off here
            if route["path"].startswith("/dashboard/log") and route["method"] == "POST" and who != "admin":
                fits = got in (303, 400)  # a form without a key
            if not fits:
                wrong.append("%s %s (%s) as %s: %s, not %s" % (route["method"], route["path"], route["scope"], who, got, want))
    assert not wrong, "%d of %d cells are wrong:\n%s" % (len(wrong), cells, "\n".join(wrong))
    for path in ("/herd/v1/no-such-thing", "/herd", "/dashboard/models/x"):
        assert callers.ask("none", "GET", path) == 401 and callers.ask("user", "GET", path) == 403
    assert callers.ask("admin", *stops) == 202
    assert herd.wait(10) == 0


def test_without_keys_everything_is_as_it_was(sim_fleet):
    herd = sim_fleet.static(sim_fleet.sim(MODEL), config="[compat]\nollamaflow_admin = true\n")
    for route in all_routes():
        if (route["method"], route["path"]) == ("POST", "/herd/v1/stop") or route["path"] == "/dashboard/login" or route["scope"] == "node":
            continue
        with Connection(herd.url, 10) as connection:
            connection.send(route["method"], concrete(route), {} if route["method"] in ("POST", "DELETE") else None,
                            bearer("not-needed") + [("x-api-key", "sk-123")])
            assert connection.head().status not in (401, 403), route
    assert not (sim_fleet.folder / "herd" / "keys.db").exists()


@pytest.mark.root
@pytest.mark.parametrize("anywhere", [False, True], ids=["from loopback", "from anywhere"])
def test_without_keys_changes_come_from_herds_own_machine(network, tmp_path, anywhere):
    """Every route that changes something, asked from another host of the LAN, and from a LAN address of herd's own host."""
    lan = network.lan()
    host, stranger = network.host("herd", lan, addresses=["10.77.0.1/24"]), network.host("stranger", lan, addresses=["10.77.0.66/24"])
    config = tmp_path / "herd.toml"
    config.write_text("[compat]\nollamaflow_admin = true\n" + ('[access]\nadmin_from = "anywhere"\n' if anywhere else ""))
    herd = Herd(["serve", "--config", config, "--state-dir", tmp_path / "herd"], tmp_path / "herd.log", namespace=host)
    try:
        url, routes = "http://10.77.0.1:11435", all_routes()
        changing = [(route["method"], concrete(route)) for route in routes if route["changes"] and not route["path"].endswith("/stop")]
        reading = [concrete(route) for route in routes if route["method"] == "GET" and not route["changes"] and route["scope"] == "admin"
                   and not route["path"].endswith("/events")]
        assert len(changing) > 30 and len(reading) > 15
        herd.url = "http://127.0.0.1:11435"
        with inside(host):
            wait_until(lambda: herd.status(), "herd")

        def statuses(where, at):
            with inside(where):
                return {(method, path): request(at, method, path, {} if method in ("POST", "PUT", "PATCH") else None).status for method, path in changing}
        for where, at in ((stranger, url), (host, url)):
            wrong = {asked: status for asked, status in statuses(where, at).items() if (status != 403) != anywhere}
            assert not wrong, (where, wrong)
            with inside(where):
                refused = [path for path in reading if request(at, "GET", path).status in (401, 403)]
                assert not refused and request(at, "GET", "/api/tags").status == 200
                if not anywhere:
                    assert request(at, "POST", "/herd/v1/stop", {}).status == 403
        allowed = [asked for asked, status in statuses(host, herd.url).items() if status == 403]
        assert not allowed
    finally:
        herd.kill()


def test_without_a_key_the_root_tells_that_something_runs_and_nothing_else(sim_fleet):
    config = '[[frontend]]\nname = "a"\nhostnames = ["a.internal"]\npath_prefix = true\n[[frontend]]\nname = "off"\nhostnames = ["off.internal"]\nactive = false\n'
    herd = start_keyed(sim_fleet, sim_fleet.sim(MODEL).url, config)
    wrong = bearer("herd_" + "0" * 40)
    answers = set()
    for host in ("a.internal", "off.internal", "nobodys.internal"):
        for headers in ([], wrong):
            answer = request(herd.url, "GET", "/", headers=[("Host", host)] + headers)
            answers.add((answer.status, answer.body))
            assert request(herd.url, "HEAD", "/", headers=[("Host", host)] + headers).status == 200
            assert not {"x-herd-node", "x-herd-model"} & {name.lower() for name, _ in answer.headers}
    assert answers == {(200, b"Ollama is running")}
    for path in ("/f/a", "/f/a/", "/f/nobody/", "/?x/api/tags", "/api/version", "/api/tags", "//"):
        expected_status = 200 if path.startswith("/?") else 401
        assert request(herd.url, "GET", path, headers=[("Host", "a.internal")]).status == expected_status, path
    assert request(herd.url, "POST", "/", {}, headers=[("Host", "a.internal")]).status == 401
    assert request(herd.url, "GET", "/", headers=[("Accept", "text/html"), ("Host", "127.0.0.1")]).status == 401  # that is the dashboard


# --------------------------------------------------------------------------------------------------------- the verbs

def test_a_key_for_an_alias_is_not_made(sim_fleet):
    """It would open nothing: the model that runs is another."""
    herd = start_keyed(sim_fleet, sim_fleet.sim(MODEL).url, '[aliases]\n"gpt-4o" = "%s"\n' % MODEL)
    refused = verb(herd, "key", "add", "x", "--models", "gpt-4o", key=herd.key)
    assert refused.returncode == 1 and refused.stdout == "" and '"gpt-4o" is an alias of "%s"' % MODEL in refused.stderr, refused
    made = verb(herd, "key", "add", "x", "--models", MODEL, key=herd.key)
    assert made.returncode == 0 and herd.chat("gpt-4o", headers=bearer(made.stdout.strip())).status == 200, made


def test_output_that_cannot_be_written_is_a_failure(keyed):
    for words in (["models"], ["nodes", "--json"], ["key", "list"], ["--help"], ["help", "key"]):
        with open("/dev/full", "w") as full:
            done = subprocess.run([program("herd"), *words], stdout=full, stderr=subprocess.PIPE, text=True, timeout=30, env={"HERD_URL": keyed.url, "HERD_API_KEY": keyed.key})
        assert done.returncode == 1 and done.stderr.startswith("herd: cannot write to standard output") and done.stderr.count("\n") == 1, (words, done)
    left = subprocess.run("'%s' --help | head -1" % program("herd"), shell=True, capture_output=True, text=True, timeout=30)
    assert left.returncode == 0 and left.stderr == "" and left.stdout.startswith("herd "), left


def test_what_a_command_says_of_tls(sim_fleet):
    """A certificate of herd's own making has to be named once; where no TLS is spoken that is said."""
    herd = sim_fleet.herd("--tls-self-signed", discovery=False)
    ask = lambda url, **more: subprocess.run([program("herd"), "status", "--url", url], capture_output=True, text=True, timeout=30, env=more)  # noqa: E731
    secure = "https" + herd.url[4:]
    refused = ask(secure)
    assert refused.returncode == 1 and "certificate is not trusted" in refused.stderr and "SSL_CERT_FILE" in refused.stderr and "tls-cert.pem" in refused.stderr, refused
    trusted = ask(secure, SSL_CERT_FILE=str(sim_fleet.folder / "herd" / "tls-cert.pem"))
    assert trusted.returncode == 0 and trusted.stdout.startswith("herd "), trusted
    plain = sim_fleet.herd(discovery=False, state="plain")
    wrong = ask("https" + plain.url[4:])
    assert wrong.returncode == 1 and "does not speak TLS: write http://" in wrong.stderr, wrong


def test_key_verbs(keyed):
    made = verb(keyed, "key", "add", "alice", "--models", MODEL + ",qwen3", "--rpm", "100", "--tokens-per-day", "5000", "--max-parallel", "2", "--priority", "batch",
                "--expires", "30d", key=keyed.key)
    assert made.returncode == 0, made.stderr
    secret = made.stdout.strip()
    assert re.fullmatch(r"herd_[0-9a-f]{40}", secret) and "shown this once" in made.stderr
    assert keyed.chat(MODEL, headers=bearer(secret)).status == 200
    listed = verb(keyed, "key", "list", "--key", keyed.key)
    assert listed.returncode == 0 and "alice" in listed.stdout and "batch" in listed.stdout
    assert secret not in listed.stdout and secret[:9] + "…" + secret[-4:] in listed.stdout
    assert keyed.get("/herd/v1/keys/alice").json()["rpm"] == 100 and keyed.get("/herd/v1/keys/bob").status == 404
    twice = verb(keyed, "key", "add", "alice", key=keyed.key)
    assert twice.returncode == 1 and "already" in twice.stderr
    gone = verb(keyed, "key", "revoke", "alice", key=keyed.key)
    assert gone.returncode == 0, gone.stderr
    answer = keyed.chat(MODEL, headers=bearer(secret))
    assert answer.status == 401 and answer.json() == {"error": "this key was revoked"}
    assert verb(keyed, "key", "revoke", "nobody", key=keyed.key).returncode == 1
    mistaken = verb(keyed, "key", "revoke", secret, key=keyed.key)
    assert mistaken.returncode == 1 and secret not in mistaken.stderr, "who pastes the secret does not see it again"
    assert verb(keyed, "key", "frob").returncode == 2
    assert verb(keyed, "key", "list", "--rpm", "3").returncode == 2
    for words in (["status"], ["nodes"], ["requests"], ["doctor"], ["key", "list"]):
        refused = verb(keyed, *words)
        assert refused.returncode == 1 and "wants a key" in refused.stderr, (words, refused.stderr)
        assert "wants a key" not in verb(keyed, *words, key=keyed.key).stderr


def test_the_first_key_is_made_on_the_machine_and_then_closes_the_door(fleet):
    herd = fleet.herd(discovery=False, config=fleet.config(REQUIRED))
    assert herd.get("/metrics").status == 401 and herd.post("/herd/v1/reload").status == 401
    first = verb(herd, "key", "add", "ops", "--admin")
    assert first.returncode == 0, first.stderr
    assert verb(herd, "key", "add", "intruder", "--admin").returncode == 1
    assert verb(herd, "key", "list", key=first.stdout.strip()).returncode == 0
    assert verb(herd, "key", "revoke", "ops", key=first.stdout.strip()).returncode == 0
    assert verb(herd, "key", "add", "ops", "--admin").returncode == 0, "who lost the last admin key makes a new one on the machine"


def test_a_key_is_revoked_at_once_on_every_loop(sim_fleet):
    herd = start_keyed(sim_fleet, sim_fleet.sim(MODEL).url, "", "--threads", "4")
    for round_number in range(5):
        secret = herd.add_key("k%d" % round_number)
        with_key = [Connection(herd.url) for _ in range(12)]  # spread over the loops
        for connection in with_key:
            assert connection.request("GET", "/api/tags", headers=bearer(secret)).status == 200
        assert herd.delete("/herd/v1/keys/k%d" % round_number).status == 200
        for connection in with_key:
            assert connection.request("GET", "/api/tags", headers=bearer(secret)).status == 401
            connection.close()


def test_an_event_stream_ends_with_its_key(keyed):
    viewer = keyed.add_key("viewer", scope="admin")
    with Connection(keyed.url, 20) as connection:
        connection.send("GET", "/herd/v1/events", headers=bearer(viewer))
        answer = connection.head()
        pieces = connection.pieces(answer)
        assert answer.status == 200 and next(pieces)
        assert keyed.delete("/herd/v1/keys/viewer").status == 200
        seen = len(answer.body)
        secret = keyed.add_key("somebody-else")
        assert keyed.chat(MODEL, headers=bearer(secret)).status == 200
        for _ in pieces:
            pass
        assert answer.ended and b"somebody-else" not in answer.body[seen:]


def test_keys_outlive_a_restart_and_so_do_the_tokens_of_the_day(sim_fleet):
    sim = sim_fleet.sim(MODEL)
    herd = start_keyed(sim_fleet, sim.url)
    secret = herd.add_key("alice", tokens_per_day=1_000_000)
    assert herd.chat(MODEL, headers=bearer(secret)).status == 200
    before = next(key for key in herd.get("/herd/v1/keys").json()["keys"] if key["name"] == "alice")
    assert before["tokens_today"] > 0 and before["last_used"]
    root = herd.key
    assert herd.stop() == 0
    again = sim_fleet.herd(discovery=False, config=sim_fleet.config(REQUIRED + '[[node]]\nname = "b1"\nurl = "%s"\n' % sim.url))
    again.key = root
    again.wait_online(["b1"])
    after = next(key for key in again.get("/herd/v1/keys").json()["keys"] if key["name"] == "alice")
    assert after["tokens_today"] == before["tokens_today"] and after["last_used"] == before["last_used"]
    assert again.chat(MODEL, headers=bearer(secret)).status == 200


def test_a_key_file_that_cannot_be_read_is_no_reason_to_serve_everybody(fleet):
    (fleet.folder / "herd").mkdir()
    (fleet.folder / "herd" / "keys.db").write_bytes(b"not a database" * 1000)
    done = fleet.herd(discovery=False, wait=False)
    assert done.wait(10) == 1
    assert "keys.db" in done.output()


class ExactServer(ScriptedOllama):
    """As llama.cpp's and vLLM's servers read JSON: keys exactly, the last of two."""
    PROBES = {("GET", "/v1/models"), ("GET", "/health")}

    def _probe(self, exchange, path):
        exchange.answer(200, {"object": "list", "data": [{"id": m, "object": "model", "created": 1, "owned_by": "x"} for m in self.models]})


def test_a_key_for_certain_models_gets_no_other_by_naming_two(fleet):
    with ExactServer(["a", "secret"], script=lambda exchange: exchange.answer(200, {"id": "x", "choices": []})) as backend:
        herd = fleet.herd(discovery=False, config=fleet.config(REQUIRED + '[[node]]\nname = "b1"\nurl = "%s"\napi = "openai"\n' % backend.url))
        herd.add_key("root", scope="admin")
        herd.wait_online(["b1"])
        limited = bearer(herd.add_key("limited", models=["a"]))
        messages = '"messages":[{"role":"user","content":"x"}]'
        for pair in ('"model":"secret","MODEL":"a"', '"MODEL":"a","model":"secret"', '"model":"secret","model":"a"', '"MODEL":"secret","model":"a"', '"MODEL":"a"'):
            assert herd.post("/v1/chat/completions", ("{%s,%s}" % (pair, messages)).encode(), headers=limited).status == 403, pair
        part = '--b\r\nContent-Disposition: form-data; name="model"\r\n\r\n%s\r\n'
        form = limited + [("Content-Type", "multipart/form-data; boundary=b")]
        for models in (("a", "secret"), ("secret", "a")):
            body = "".join(part % model for model in models) + "--b--\r\n"
            assert herd.post("/v1/audio/transcriptions", body.encode(), headers=form).status == 403, models
        assert backend.seen == []
        assert herd.post("/v1/chat/completions", ('{"model":"a",%s}' % messages).encode(), headers=limited).status == 200
        assert herd.post("/v1/audio/transcriptions", (part % "a" + "--b--\r\n").encode(), headers=form).status == 200


def test_what_waits_or_runs_with_a_revoked_key_ends_at_once(fleet):
    def endless(exchange):
        exchange.begin()
        exchange.chunk(b'{"model":"m","message":{"role":"assistant","content":"x"},"done":false}\n')
        exchange.wait_for_close(20)

    with ScriptedOllama(script=endless) as backend:
        herd = start_keyed(fleet, backend.url)
        secret = herd.add_key("leaver")
        with Connection(herd.url) as connection:
            connection.send("POST", "/api/chat", {"model": "m", "messages": [{"role": "user", "content": "x"}]}, bearer(secret))
            answer = connection.head()
            pieces = connection.pieces(answer)
            next(pieces)
            assert herd.delete("/herd/v1/keys/leaver").status == 200
            rest = b"".join(pieces)
            assert json.loads(rest) == {"error": "its key was revoked"}
        wait_until(lambda: backend.open_requests == 0, "the node's work to end", 3)


def test_when_the_last_admin_key_expires_nothing_opens(sim_fleet):
    herd = sim_fleet.herd(discovery=False, config=sim_fleet.config('[[node]]\nname = "b1"\nurl = "%s"\n' % sim_fleet.sim(MODEL).url))
    herd.add_key("short", scope="admin", expires="2s")
    assert herd.get("/metrics").status == 200 and herd.get("/herd/v1/requests").status == 200
    secret, herd.key = herd.key, None
    wait_until(lambda: herd.get("/metrics", headers=bearer(secret)).status == 401, "the key to expire", 10)
    assert [herd.get(path).status for path in ("/metrics", "/herd/v1/requests", "/herd/v1/config")] == [401] * 3
    assert herd.get("/api/tags").status == 200
    wait_until(lambda: b"admin_keys_expired" in herd.log.read_bytes(), "the warning", 15)
    assert verb(herd, "key", "add", "next", "--admin").returncode == 0


# ------------------------------------------------------------------------------------------------------------ limits

def test_limits_of_a_key(keyed):
    few = keyed.add_key("few", rpm=3)
    statuses = [keyed.chat(MODEL, headers=bearer(few)) for _ in range(5)]
    assert [answer.status for answer in statuses] == [200, 200, 200, 429, 429]
    assert 1 <= int(statuses[-1].header("Retry-After")) <= 60
    small = keyed.add_key("small", tokens_per_day=1)
    assert keyed.chat(MODEL, headers=bearer(small)).status == 200
    answer = keyed.chat(MODEL, headers=bearer(small))
    assert answer.status == 429 and "tokens of today" in answer.json()["error"] and answer.header("Retry-After") == "60"


def test_requests_at_once_are_counted_over_all_loops(fleet):
    release = threading.Event()

    def slow(exchange):
        release.wait(20)
        exchange.answer(200, {"model": "m", "done": True})

    with ScriptedOllama(script=slow) as backend:
        herd = start_keyed(fleet, backend.url, "[limits]\nclient_in_flight = 3\n", "--threads", "4")
        one = herd.add_key("one", max_parallel=1)
        all_of_them = herd.add_key("all")
        body = {"model": "m", "stream": False, "messages": [{"role": "user", "content": "x"}]}

        def start(secret):
            connection = Connection(herd.url)
            connection.send("POST", "/api/chat", body, bearer(secret))
            return connection

        def running(name):
            return next(key["in_flight"] for key in herd.get("/herd/v1/keys").json()["keys"] if key["name"] == name)

        held = [start(one)]
        wait_until(lambda: running("one") == 1, "the first request to run")
        for _ in range(6):  # whichever loop takes the connection
            answer = herd.chat("m", headers=bearer(one))
            assert answer.status == 429 and answer.header("Retry-After") == "2"
        for count in range(1, 4):
            held.append(start(all_of_them))
            wait_until(lambda: running("all") == count, "%d requests to run" % count)
        assert herd.chat("m", headers=bearer(all_of_them)).status == 429
        release.set()
        assert [connection.answer().status for connection in held] == [200] * 4
        wait_until(lambda: running("one") == running("all") == 0, "the places to come back")


def test_one_request_at_once_is_never_in_the_way_of_the_next(sim_fleet):
    """The place of a request is free before its client hears the end, on whichever loop the next one arrives."""
    herd = start_keyed(sim_fleet, sim_fleet.sim(MODEL).url, "", "--threads", "4")
    secret = herd.add_key("one", max_parallel=1)
    for path, method, body in (("/api/show", "POST", {"model": MODEL}), ("/api/tags", "GET", None)):
        for _ in range(150):
            with Connection(herd.url) as connection:
                assert connection.request(method, path, body, bearer(secret)).status == 200


def test_keys_are_required_from_a_reload_on(sim_fleet):
    sim = sim_fleet.sim(MODEL)
    node = '[[node]]\nname = "b1"\nurl = "%s"\n' % sim.url
    config = sim_fleet.config(node)
    herd = sim_fleet.herd(discovery=False, config=config)
    herd.wait_online(["b1"])
    secret = herd.add_key("alice")
    assert herd.get("/api/tags").status == 200 and herd.get("/api/tags", headers=bearer("not-needed")).status == 200
    config.write_text(REQUIRED + node)
    assert verb(herd, "reload").returncode == 0
    assert herd.get("/api/tags").status == 401 and herd.get("/api/tags", headers=bearer(secret)).status == 200
    assert verb(herd, "reload").returncode == 1, "changes need an admin key now"
    assert verb(herd, "key", "add", "ops", "--admin").returncode == 0


def test_every_path_in_the_sources_is_in_the_table():
    """Who adds a route says which key it needs; one that is forgotten is closed, and this tells."""
    patterns = [route["path"] for route in all_routes() if route["scope"] != "proxied"]
    found = set()
    for source in (ROOT / "apps" / "herd").rglob("*.cpp"):
        if "cli" not in source.parts:
            found |= {(literal, source.name) for literal in re.findall(r'"(/(?:herd/v1|fleet|dashboard)/[a-z_/]+)"', source.read_text())}

    def known(literal):
        """The literal is a path of the table, or the beginning of one."""
        parts = literal.strip("/").split("/")
        return any(len(wanted) >= len(parts) and all(w in (part, ":") for w, part in zip(wanted, parts))
                   for wanted in (pattern.strip("/").split("/") for pattern in patterns))
    assert len(found) > 15
    assert not [pair for pair in found if not known(pair[0])]


def test_a_key_sees_and_uses_its_models_only(keyed):
    mine = bearer(keyed.add_key("limited", models=["Llama3.2:3b"]))
    assert keyed.chat(MODEL, headers=mine).status == 200
    assert keyed.chat("other:1b", headers=mine).status == 403
    for path, member in (("/api/tags", "models"), ("/v1/models", "data"), ("/api/ps", "models"), ("/herd/v1/models", "models")):
        rows = keyed.get(path, headers=mine).json()[member]
        assert [row.get("name", row.get("id")) for row in rows] == [MODEL], path
    assert keyed.post("/api/show", {"model": "other:1b"}, headers=mine).status == 403
    assert keyed.post("/api/show", {"model": MODEL}, headers=mine).status == 200
    assert keyed.get("/v1/models/other:1b", headers=mine).status == 403
    assert keyed.post("/api/copy", {"source": "other:1b", "destination": MODEL}, headers=mine).status == 403
    for path in ("/herd/v1/nodes", "/herd/v1/nodes/b1", "/fleet/status"):
        assert keyed.get(path, headers=mine).status == 403 and keyed.get(path).status == 200
    assert keyed.post("/herd/v1/route", {"model": "other:1b"}, headers=mine).status == 403
    assert len(keyed.get("/api/tags").json()["models"]) == 2


def test_records_and_usage_know_the_key(keyed):
    secret = keyed.add_key("alice")
    assert keyed.chat(MODEL, headers=bearer(secret)).status == 200
    record = wait_until(lambda: keyed.get("/herd/v1/requests?key=alice").json()["requests"], "the record")[0]
    assert record["key"] == "alice" and record["status"] == 200
    rows = wait_until(lambda: [row for row in keyed.get("/herd/v1/usage?by=key").json()["rows"] if row["name"] == "alice"], "the usage")
    assert rows[0]["requests"] == 1 and rows[0]["output_tokens"] > 0


# --------------------------------------------------------------------------------------------------------- smuggling

def test_nobody_says_who_he_is_but_by_a_key(fleet):
    with ScriptedOllama() as backend:
        herd = start_keyed(fleet, backend.url)
        secret = herd.add_key("alice")
        body = {"model": "m", "stream": False, "messages": [{"role": "user", "content": "x"}]}

        def status(*fields, path="/api/chat"):
            return herd.post(path, body, headers=[*fields, ("x-api-key", "")]).status

        for name in ("X-Herd-Key", "X-Herd-Client", "X-Herd-Caller", "X-Herd-Admin", "X-Forwarded-User", "X-Remote-User", "Proxy-Authorization", "X-Auth-Token"):
            for value in ("alice", "root", "Bearer " + secret):
                assert status((name, value)) == 401, name
        assert status(("X-Forwarded-For", "127.0.0.1")) == 401
        assert status(("Cookie", "herd_session=" + secret)) == 401
        assert status(("Authorization", "Bearer " + secret), ("Authorization", "Bearer " + herd.key)) == 400
        assert status(("Authorization", "Bearer " + secret + ", Bearer " + herd.key)) == 401
        assert herd.post("/herd/v1/reload", headers=bearer(secret) + bearer(herd.key)).status == 400
        assert herd.post("/herd/v1/reload", headers=bearer(secret) + [("x-api-key", herd.key)]).status == 403, "Authorization comes first"
        seen = len(backend.seen)
        assert status(("Authorization", "Bearer " + secret), ("Connection", "authorization, x-forwarded-for, x-herd-node"), ("X-Herd-Session", "s"),
                      ("X-Auth-Token", secret), ("Cookie", "herd_session=" + secret)) == 200
        head = backend.wait_for(seen + 1)[-1]
        assert secret not in repr(vars(head)) and herd.key not in repr(vars(head))
        names = {name.lower() for name, _ in head.headers}
        assert not names & {"authorization", "x-api-key", "cookie", "x-auth-token", "proxy-authorization"}
        assert "x-forwarded-for" in names and not any(name.startswith("x-herd-") for name in names)
        # A request inside of a request: the second one has no key of its own.
        with Connection(herd.url) as connection:
            connection.send_raw(b"GET /api/tags HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " + secret.encode() + b"\r\n\r\nGET /api/tags HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert connection.answer().status == 200 and connection.answer().status == 401


def test_clients_behind_a_reverse_proxy_are_told_apart_where_it_is_trusted(fleet):
    release = threading.Event()

    def slow(exchange):
        release.wait(20)
        exchange.answer(200, {"model": "m", "done": True})

    body = {"model": "m", "stream": False, "messages": [{"role": "user", "content": "x"}]}
    with ScriptedOllama(models=["m:latest"], script=slow) as backend:
        node = '[limits]\nclient_in_flight = 1\n[[node]]\nname = "b1"\nurl = "%s"\nslots = 4\n' % backend.url
        seen = set()
        for trusted, clients in ((False, {"127.0.0.1"}), (True, {"203.0.113.9", "198.51.100.7"})):
            release.clear()
            herd = fleet.herd(discovery=False, config=fleet.config(('[access]\ntrusted_proxies = ["127.0.0.0/8"]\n' if trusted else "") + node)).wait_online(["b1"])
            before = len(backend.seen)
            chats = lambda: [head for head in backend.seen[before:] if head.target == "/api/chat"]  # noqa: E731, B023
            held = []
            for said in ("6.6.6.6, 203.0.113.9", "6.6.6.6, 198.51.100.7"):
                connection = Connection(herd.url)
                connection.send("POST", "/api/chat", body, [("X-Forwarded-For", said)])
                held.append(connection)
                if said.endswith(".9"):
                    wait_until(lambda: len(chats()) == 1, "the first to run")
            if trusted:  # two clients, each with one at a time
                wait_until(lambda: len(chats()) == 2, "both to run")
                assert herd.chat("m", headers=[("X-Forwarded-For", "203.0.113.9")]).status == 429
            release.set()
            assert [connection.answer().status for connection in held] == ([200, 200] if trusted else [200, 429])
            assert {head.header("X-Forwarded-For") for head in chats()} == clients
            seen |= clients  # the second herd has the first one's records
            wait_until(lambda: {row["client"] for row in herd.get("/herd/v1/requests").json()["requests"] if row["path"] == "/api/chat"} == seen, "the records")
            refused = herd.post("/herd/v1/reload", headers=[("X-Forwarded-For", "127.0.0.1")])
            assert refused.status == 403, "rights are the connection's, and a proxy has none"
            herd.stop()


# ----------------------------------------------------------------------------------------------------------- secrets

def test_secrets_are_nowhere(sim_fleet):
    """Everything that herd writes or says is searched for every secret that it was ever shown."""
    sim = sim_fleet.sim(MODEL)
    config = sim_fleet.config(REQUIRED + '[[node]]\nname = "b1"\nurl = "%s"\nbearer = "node-bearer-1234"\nheaders = { X-Secret = "field-secret-1234" }\n'
                              'query = { token = "query-secret-1234" }\n' % sim.url)
    herd = sim_fleet.herd("--log-level", "trace", discovery=False, state="secret-state", config=config)
    herd.add_key("root", scope="admin")
    herd.wait_online(["b1"])
    user, limited = herd.add_key("user", rpm=1), herd.add_key("limited", models=["x"])
    revoked = herd.add_key("revoked")
    wrong = "herd_" + "ab" * 20
    fleet_key = "ab" * 16 + "fleetkey"  # no hexadecimal digits
    given = ["node-bearer-1234", "field-secret-1234", "query-secret-1234"]
    secrets = [herd.key, user, limited, revoked, wrong, *given, "url-secret-1234", fleet_key]
    events = Connection(herd.url, 5)
    events.send("GET", "/herd/v1/events", headers=bearer(herd.key))
    events_answer = events.head()
    said = []
    login = herd.post("/dashboard/login", b"key=" + herd.key.encode(), headers=[("Content-Type", "application/x-www-form-urlencoded")])
    cookie = re.search(r"herd_session=([0-9a-f]+)", login.header("Set-Cookie")).group(1)
    secrets.append(cookie)
    herd.delete("/herd/v1/keys/revoked")
    for secret in secrets[:5] + [cookie]:
        for fields in (bearer(secret), [("x-api-key", secret)], [("Authorization", "Basic " + secret)], [("Cookie", "herd_session=" + secret)]):
            for path in ("/api/chat", "/v1/chat/completions", "/v1/messages", "/api/nothing", "/herd/v1/nodes", "/herd/v1/keys", "/dashboard/login"):
                said.append(herd.post(path, CHAT, headers=fields))
            said.append(herd.get("/herd/v1/requests/" + "x" * 16, headers=fields))
    said += [verb(herd, "key", "list", key=herd.key), verb(herd, "status", key=wrong), verb(herd, "key", "add", "root", key=herd.key)]
    # What is refused is told without what was secret in it.
    good = config.read_text()
    for bad in ('[[node]]\nname = "b2"\nurl = "http://user:url-secret-1234@127.0.0.1:1"\n', '[discovery]\njoin = "key"\nfleet_key = "%s"\n' % fleet_key):
        config.write_text(good + bad)
        refused = herd.post("/herd/v1/reload")
        assert refused.status == 400, bad
        said += [refused, verb(herd, "reload", key=herd.key)]
        said.append(subprocess.run([program("herd"), "--config", config, "--listen", "127.0.0.1:0", "--state-dir", sim_fleet.folder / "other"],
                                   capture_output=True, text=True, timeout=20, env={}))
        assert said[-1].returncode == 2
    config.write_text(good)
    for url in ("http://user:url-secret-1234@127.0.0.1:1", "user:url-secret-1234@127.0.0.1", "http://user:url-secret-1234@127.0.0.1:1/?q", "ftp://user:url-secret-1234@a"):
        said.append(herd.post("/herd/v1/nodes", {"url": url}))
        assert said[-1].status == 400
    for route in all_routes():
        if route["method"] == "GET" and route["path"] != "/herd/v1/events":
            said.append(herd.get(concrete(route)))
    for path in ("/herd/v1/config", "/herd/v1/keys", "/herd/v1/requests?limit=1000", "/herd/v1/usage?by=key", "/metrics", "/fleet/status", "/herd/v1/health"):
        answer = herd.get(path)
        assert answer.status == 200, path
        said.append(answer)
    wait_until(lambda: "user" in json.dumps([row.get("key") for row in herd.get("/herd/v1/requests?limit=1000").json()["requests"]]), "records")
    events.socket.settimeout(0.5)
    try:
        for _ in events.pieces(events_answer):
            pass
    except OSError:
        pass
    events.close()
    assert herd.stop() == 0
    texts = {"an answer": b"\n".join(repr((a.headers, a.body)).encode() if hasattr(a, "body") else (a.stdout + a.stderr).encode() for a in said if a is not login),
             "an event": events_answer.body, "the log": herd.log.read_bytes()}
    for file in (sim_fleet.folder / "secret-state").rglob("*"):
        if file.is_file():
            texts[file.name] = file.read_bytes()
            assert stat.S_IMODE(file.stat().st_mode) & 0o077 == 0, file
    assert {"keys.db", "requests.db"} <= set(texts) and len(texts["an event"]) > 100 and b"key_added" in texts["the log"]
    for secret in secrets:
        for where, text in texts.items():
            if secret in given and where == "fleet.json":
                continue  # kept on purpose, in a file of its owner's
            assert secret.encode() not in text, "%s… is in %s" % (secret[:8], where)
            assert not secret.startswith("herd_") or secret[9:-4].encode() not in text, "the middle of %s… is in %s" % (secret[:8], where)
    with sqlite3.connect(sim_fleet.folder / "secret-state" / "keys.db") as database:
        assert all(len(row[0]) == 64 for row in database.execute("SELECT hash FROM keys"))


def test_wrong_keys_are_throttled_by_address_and_good_ones_are_not(keyed):
    def tries(source, count):
        found = []
        for i in range(count):
            with Connection(keyed.url, source=source) as connection:
                found.append(connection.request("GET", "/api/tags", headers=bearer("herd_%040d" % i)))
        return found
    answers = tries("127.0.0.7", 14)
    assert [answer.status for answer in answers[:10]] == [401] * 10 and answers[-1].status == 429
    assert int(answers[-1].header("Retry-After")) >= 1
    with Connection(keyed.url, source="127.0.0.7") as connection:
        assert connection.request("GET", "/api/tags", headers=bearer(keyed.key)).status == 200
    assert tries("127.0.0.8", 1)[0].status == 401


# ----------------------------------------------------------------------------------------------------------- clients

@pytest.mark.real
def test_official_clients_with_keys(tmp_path, fleet, ollama):
    herd = start_keyed(fleet, ollama.url)
    secret = herd.add_key("alice")
    openai = pytest.importorskip("openai", reason="the Python package openai is not installed")
    anthropic = pytest.importorskip("anthropic", reason="the Python package anthropic is not installed")
    official = pytest.importorskip("ollama", reason="the Python package ollama is not installed")
    ask = [{"role": "user", "content": "why?"}]
    client = openai.OpenAI(base_url=herd.url + "/v1", api_key=secret, max_retries=0)
    assert client.chat.completions.create(model="tiny", messages=ask).choices[0].message.content
    assert "tiny:latest" in {model.id for model in client.models.list()}
    with pytest.raises(openai.AuthenticationError) as caught:
        openai.OpenAI(base_url=herd.url + "/v1", api_key="wrong", max_retries=0).chat.completions.create(model="tiny", messages=ask)
    assert caught.value.code == "invalid_api_key"
    with pytest.raises(openai.PermissionDeniedError):
        limited = herd.add_key("limited", models=["tinyloop"])
        openai.OpenAI(base_url=herd.url + "/v1", api_key=limited, max_retries=0).chat.completions.create(model="tiny", messages=ask)
    with pytest.raises(openai.RateLimitError):
        few = openai.OpenAI(base_url=herd.url + "/v1", api_key=herd.add_key("few", rpm=1), max_retries=0)
        for _ in range(2):
            few.chat.completions.create(model="tiny", messages=ask)
    try:
        anthropic.Anthropic(base_url=herd.url, api_key=secret, max_retries=0).messages.create(model="tiny", max_tokens=8, messages=ask)
    except anthropic.NotFoundError:
        pass  # this Ollama is older than that API; the key was good
    with pytest.raises(anthropic.AuthenticationError):
        anthropic.Anthropic(base_url=herd.url, api_key="wrong", max_retries=0).messages.create(model="tiny", max_tokens=8, messages=ask)
    assert official.Client(host=herd.url, headers={"Authorization": "Bearer " + secret}).chat("tiny", ask).message.content
    with pytest.raises(official.ResponseError) as refused:
        official.Client(host=herd.url).chat("tiny", ask)
    assert refused.value.status_code == 401


JAVASCRIPT = """
import { Ollama } from 'ollama'
import OpenAI from 'openai'
const [host, good, limited] = process.argv.slice(2)
const messages = [{ role: 'user', content: 'why?' }]
const out = {}
const official = (key) => new Ollama({ host, headers: key ? { Authorization: `Bearer ${key}` } : {} })
out.chat = (await official(good).chat({ model: 'tiny', messages })).message.content
out.stream = ''
for await (const part of await official(good).chat({ model: 'tiny', messages, stream: true })) out.stream += part.message.content
out.list = (await official(limited).list()).models.map((model) => model.name)
try { await official().chat({ model: 'tiny', messages }) } catch (error) { out.none = error.status_code }
try { await official(limited).chat({ model: 'tiny', messages }) } catch (error) { out.other = [error.status_code, error.message] }
const openai = (apiKey) => new OpenAI({ baseURL: `${host}/v1`, apiKey, maxRetries: 0 })
out.completion = (await openai(good).chat.completions.create({ model: 'tiny', temperature: 0, messages })).choices[0].message.content
out.pieces = ''
for await (const part of await openai(good).chat.completions.create({ model: 'tiny', temperature: 0, messages, stream: true })) out.pieces += part.choices[0]?.delta?.content ?? ''
out.models = []
for await (const model of openai(good).models.list()) out.models.push(model.id)
try { await openai('wrong').chat.completions.create({ model: 'tiny', messages }) } catch (error) { out.wrong = [error instanceof OpenAI.AuthenticationError, error.status, error.code] }
try { await openai(limited).chat.completions.create({ model: 'tiny', messages }) } catch (error) { out.denied = error instanceof OpenAI.PermissionDeniedError }
console.log(JSON.stringify(out))
"""


@pytest.mark.real
def test_official_javascript_clients_with_keys(fleet, ollama, node_js):
    node, folder = node_js
    if not (folder / "node_modules" / "openai").exists():
        pytest.skip("the npm package openai is not installed (scripts/test does it when npm works)")
    herd = start_keyed(fleet, ollama.url)
    script = folder / "herd-keys-test.mjs"
    script.write_text(JAVASCRIPT)
    done = subprocess.run([node, script, herd.url, herd.add_key("js"), herd.add_key("limited", models=["tinyloop"])], capture_output=True, text=True,
                          timeout=60, cwd=folder)
    assert done.returncode == 0, done.stderr
    out = json.loads(done.stdout.splitlines()[-1])
    assert out["chat"].strip() == out["stream"].strip() == out["completion"].strip() == out["pieces"].strip() == TEXT
    assert out["list"] == ["tinyloop:latest"] and {"tiny:latest", "tinyloop:latest"} <= set(out["models"])
    assert out["none"] == 401 and out["other"][0] == 403 and "tiny" in out["other"][1]
    assert out["wrong"] == [True, 401, "invalid_api_key"] and out["denied"] is True


@pytest.mark.real
def test_the_ollama_program_shows_no_key_and_is_let_in_where_none_is_required(fleet, ollama, ollama_binary, tmp_path):
    herd = start_keyed(fleet, ollama.url)

    def run(*words):
        environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "OLLAMA_HOST": herd.url, "TERM": "dumb", "NO_COLOR": "1"}
        done = subprocess.run([ollama_binary, *words], env=environment, capture_output=True, text=True, timeout=60, input="")
        return done.returncode, done.stdout + done.stderr
    for words in (("ls",), ("run", "tiny", "x"), ("ps",), ("show", "tiny"), ("rm", "tiny")):
        code, said = run(*words)
        assert code == 1 and "Error" in said and "a key is needed" in said and TEXT not in said, (words, said)
    records = [each for each in herd.get("/herd/v1/requests").json()["requests"] if each["api"] != "admin"]
    assert {each["status"] for each in records if each["path"] != "/"} == {401} and not any(each["attempts"] for each in records)
    assert "tiny:latest" in {model["name"] for model in herd.get("/api/tags").json()["models"]}
    config = next(fleet.folder.glob("herd-*.toml"))
    config.write_text(config.read_text().replace("require_key = true", "require_key = false"))
    assert herd.post("/herd/v1/reload").status == 200
    assert run("ls")[0] == 0 and TEXT in run("run", "tiny", "why?")[1]


# --------------------------------------------------------------------------------------------------------- the login

FORM = [("Content-Type", "application/x-www-form-urlencoded"), ("x-api-key", "")]


def test_logging_in_and_out_of_the_dashboard(keyed):
    user = keyed.add_key("user")
    nobody = [("x-api-key", "")]
    page = keyed.get("/dashboard", headers=nobody)
    assert page.status == 401 and b"<form" in page.body and "form-action 'self'" in page.header("Content-Security-Policy")
    assert keyed.post("/dashboard/login", b"key=" + user.encode(), headers=FORM).status == 403
    assert keyed.post("/dashboard/login", b"key=nonsense", headers=FORM).status == 401
    assert keyed.post("/dashboard/login", b"key=" + keyed.key.encode(), headers=FORM + [("Origin", "http://evil.example")]).status == 403
    done = keyed.post("/dashboard/login", b"key=" + keyed.key.encode(), headers=FORM)
    assert done.status == 303 and done.header("Location") == "/dashboard"
    cookie = done.header("Set-Cookie")
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie and "Path=/" in cookie
    session = [("Cookie", cookie.split(";")[0])]
    assert keyed.get("/metrics", headers=session).status == 200
    assert keyed.get("/herd/v1/whoami", headers=session).json() == {"key": "root", "scope": "admin", "session": True}
    own = "http://%s" % keyed.url.split("//")[1]
    assert keyed.post("/herd/v1/reload", headers=session).status == 401, "a cookie alone changes nothing"
    assert keyed.post("/herd/v1/reload", headers=session + [("Origin", "http://127.0.0.1:3000")]).status == 401
    assert keyed.post("/herd/v1/reload", headers=session + [("Origin", own)]).status == 200
    assert keyed.post("/herd/v1/reload", headers=session + [("X-Herd-Dashboard", "1")]).status == 200
    assert keyed.post("/api/delete", {"model": MODEL}, headers=session + [("Origin", "http://localhost:3000")]).status == 401
    assert keyed.chat(MODEL, headers=session + [("Origin", own)]).status == 200, "the explorer uses the same login"
    out = keyed.post("/dashboard/logout", headers=session)
    assert out.status == 303 and "Max-Age=0" in out.header("Set-Cookie")
    assert keyed.get("/metrics", headers=session).status == 401


def test_a_session_ends_with_its_key_and_logins_are_throttled(keyed):
    admin = keyed.add_key("second", scope="admin")
    session = [("Cookie", keyed.post("/dashboard/login", b"key=" + admin.encode(), headers=FORM).header("Set-Cookie").split(";")[0])]
    assert keyed.get("/metrics", headers=session).status == 200
    assert keyed.delete("/herd/v1/keys/second").status == 200
    assert keyed.get("/metrics", headers=session).status == 401
    statuses = [keyed.post("/dashboard/login", b"key=wrong", headers=FORM).status for _ in range(14)]
    assert 429 in statuses and statuses[0] == 401
    locked = keyed.post("/dashboard/login", b"key=wrong", headers=FORM)
    assert locked.status == 429 and int(locked.header("Retry-After")) >= 1
    # Who shares that address and has a good key is not locked out: no number of guesses finds one.
    assert keyed.post("/dashboard/login", b"key=" + keyed.key.encode(), headers=FORM).status == 303
