"""Frontends, labels, pins, limits, switching, the admin API and reloading: through real processes."""
import datetime
import json
import os
import signal
import subprocess
import threading

import pytest

from harness import request, wait_until
from harness.programs import program, stream
from harness.scripted import ScriptedOllama

CHAT = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": False}
DONE = {"model": "m", "message": {"role": "assistant", "content": "x"}, "done": True}


def echo(exchange):
    exchange.answer(200, DONE)


@pytest.fixture
def two(fleet):
    """A function: herd.toml's text → (herd, backends b1 and b2)."""
    backends = [ScriptedOllama(["m:latest", "e:latest"], echo), ScriptedOllama(["m:latest", "only:latest"], echo)]

    def start(config, **more):
        return fleet.static(*backends, config=config, **more), backends
    yield start
    for backend in backends:
        backend.close()


def inference(backend):
    return [seen for seen in backend.seen if seen.method == "POST" and seen.target != "/api/show"]


def ask(herd, path="/api/chat", body=CHAT, host=None, **headers):
    fields = [("Host", host)] if host else []
    return request(herd.url, "POST", path, body, fields + [(k.replace("_", "-"), v) for k, v in headers.items()])


class WithStubs(ScriptedOllama):
    """Signed in: it has a model of the cloud, and a copy of that by another name, as `ollama cp` makes them."""
    STUB = "assistant:latest"

    def _probe(self, exchange, path):
        if path != "/api/tags":
            return super()._probe(exchange, path)
        rows = [{"name": m, "model": m, "modified_at": "2026-01-02T03:04:05Z", "size": 300, "digest": "ab" * 32, "details": {"family": "llama"}} for m in self.models]
        for row in rows:
            if row["name"] == self.STUB:
                row.update(remote_model="gpt-oss:120b", remote_host="https://ollama.com:443")
        exchange.answer(200, {"models": rows})


def test_a_frontend_without_the_cloud_lets_no_prompt_out_by_any_way(fleet):
    with WithStubs(["m:latest", "gpt-oss:120b-cloud", WithStubs.STUB], echo) as backend:
        herd = fleet.static(backend, config="""
[proxy]
replay_body = "64KiB"
[[frontend]]
name = "inside"
hostnames = ["*"]
[[frontend]]
name = "open"
hostnames = ["open.lan"]
allow_cloud = true
""")
        missing = {**CHAT, "model": "missing"}
        for body, fields in (({**CHAT, "model": "gpt-oss:120b-cloud"}, {}), (missing, {"X_Herd_Fallback_Models": "gpt-oss:120b-cloud"}),
                             ({**missing, "fallback_models": ["gpt-oss:120b-cloud", "assistant"]}, {}), ({**CHAT, "model": "assistant"}, {}),
                             ({**CHAT, "model": "assistant"}, {"X_Herd_Allow_Cloud": "true"})):
            for path in ("/api/chat", "/v1/chat/completions"):
                assert ask(herd, path, body, **fields).status in (403, 404), (path, body)
        long = json.dumps({"model": "m", "prompt": "x" * 200_000})[:-1].encode() + b',"model":"gpt-oss:120b-cloud"}'
        refused = ask(herd, "/api/generate", long)
        assert refused.status == 413 and "does not allow the cloud" in refused.json()["error"]
        assert inference(backend) == []
        names = {row["name"] for row in request(herd.url, "GET", "/api/tags").json()["models"]}
        assert names == {"m:latest"}
        assert ask(herd).status == 200
        assert ask(herd, body={**CHAT, "model": "assistant"}, host="open.lan").status == 200
        assert ask(herd, "/api/generate", long, host="open.lan").status == 200


def test_labels_that_cannot_all_be_looked_at_are_refused(two):
    herd, backends = two("")
    for labels in ("x" * 129, ",".join("l%d" % i for i in range(17))):
        for name in ("X_Herd_Label", "X_OllamaFlow_Label"):
            refused = ask(herd, **{name: labels})
            assert refused.status == 400 and name.replace("_", "-") in refused.json()["error"]
    assert not any(inference(backend) for backend in backends)


# -------------------------------------------------------------------------------------------------------- Host

def test_the_host_chooses_the_frontend_and_its_nodes(two):
    herd, (b1, b2) = two("""
[[frontend]]
name = "team-a"
hostnames = ["Team-A.lan", "*.a.lan"]
nodes = ["b2"]
[[frontend]]
name = "team-b"
hostnames = ["team-b.lan"]
nodes = ["b1"]
""")
    for host in ("team-a.lan", "TEAM-A.LAN:11435", "x.a.lan"):
        for _ in range(3):
            answer = ask(herd, host=host)
            assert answer.status == 200 and answer.header("X-Herd-Node") == "b2"
    assert ask(herd, host="team-b.lan").header("X-Herd-Node") == "b1"
    refused = ask(herd, host="elsewhere.internal")
    assert refused.status == 400 and "no frontend" in refused.json()["error"]
    for path, code in (("/v1/chat/completions", lambda j: j["error"]["code"]), ("/v1/messages", lambda j: j["error"]["type"])):
        refused = ask(herd, path, host="elsewhere.internal")
        assert refused.status == 400 and code(refused.json()) in ("no_frontend_for_host", "invalid_request_error")
    # A model that only the other frontend's node has is not there, and not listed.
    missing = ask(herd, body={**CHAT, "model": "only"}, host="team-b.lan")
    assert missing.status == 404 and missing.json()["error"] == "model 'only' not found"
    listed = {row["name"] for row in request(herd.url, "GET", "/api/tags", headers=[("Host", "team-b.lan")]).json()["models"]}
    assert listed == {"m:latest", "e:latest"}
    listed = {row["id"] for row in request(herd.url, "GET", "/v1/models", headers=[("Host", "team-a.lan")]).json()["data"]}
    assert listed == {"m:latest", "only:latest"}
    assert ask(herd, "/api/show", {"model": "only"}, host="team-b.lan").status == 404
    assert ask(herd, "/api/show", {"model": "only"}, host="team-a.lan").status == 200
    record = herd.get("/herd/v1/requests?limit=50").json()["requests"]
    assert {r["frontend"] for r in record if r["path"] == "/api/chat" and r["status"] == 200} == {"team-a", "team-b"}


def test_without_frontends_every_host_serves(two):
    herd, _ = two("")
    assert ask(herd, host="anything.internal").status == 200
    shown = herd.get("/herd/v1/frontends").json()["frontends"]
    assert [f["id"] for f in shown] == ["default"] and shown[0]["source"] == "built-in" and shown[0]["allow_model_admin"]


def test_a_frontend_forbids_in_the_dialect_of_the_path(two):
    herd, (b1, b2) = two("""
[[frontend]]
name = "chat"
hostnames = ["*"]
allow_embeddings = false
[[frontend]]
name = "embed"
hostnames = ["embed.lan"]
allow_completions = false
""")
    refused = ask(herd, "/api/embed", {"model": "e", "input": "x"})
    assert refused.status == 403 and "does not allow embeddings" in refused.json()["error"]
    refused = ask(herd, "/v1/embeddings", {"model": "e", "input": "x"})
    assert refused.status == 403 and refused.json()["error"]["type"] == "permission_error" and refused.json()["error"]["code"] == "not_allowed"
    refused = ask(herd, "/v1/messages", CHAT, host="embed.lan")
    assert refused.status == 403 and refused.json()["error"]["type"] == "permission_error"
    for method, path in (("POST", "/api/pull"), ("DELETE", "/api/delete"), ("POST", "/api/create"), ("POST", "/api/copy"), ("POST", "/api/push"),
                         ("POST", "/api/blobs/sha256:" + "0" * 64)):
        assert request(herd.url, method, path, {"model": "m"}).status == 403, path
    assert ask(herd).status == 200
    assert not [s for s in inference(b1) + inference(b2) if s.target != "/api/chat"]


def test_a_key_for_one_frontend_is_always_there_and_others_keep_to_theirs(two):
    herd, _ = two("""
[[frontend]]
id = "a"
name = "Team A"
hostnames = ["a.internal"]
nodes = ["b1"]
[[frontend]]
name = "b"
hostnames = ["*"]
nodes = ["b2"]
[[frontend]]
name = "c"
hostnames = ["c.internal"]
""")
    only = herd.add_key("only", frontends=["a"])
    both = herd.add_key("both", frontends=["a", "b"])

    def node(secret, host=None):
        answer = ask(herd, host=host, Authorization="Bearer " + secret)
        return answer.header("X-Herd-Node") if answer.status == 200 else answer.status
    assert [node(only), node(only, "c.internal"), node(only, "a.internal")] == ["b1", "b1", "b1"]
    assert [node(both), node(both, "c.internal"), node(both, "a.internal")] == ["b2", 403, "b1"]
    # What they are told of the fleet is what they can use of it.
    herd.add_key("root", scope="admin")  # from now on keys are on
    shown = [("Authorization", "Bearer " + only)]
    assert [row["name"] for row in herd.get("/herd/v1/nodes", headers=shown).json()["nodes"]] == ["b1"]
    assert herd.get("/herd/v1/nodes/b2", headers=shown).status == 404 and herd.get("/herd/v1/nodes/b1", headers=shown).status == 200
    assert "only" not in json.dumps(herd.get("/herd/v1/models", headers=shown).json()) and "only" in json.dumps(herd.get("/herd/v1/models").json())
    assert herd.get("/fleet/status", headers=shown).status == 403
    route = herd.post("/herd/v1/route", {"model": "m"}, headers=shown)
    assert route.status == 200 and route.json()["chosen"] == "b1"
    assert herd.post("/herd/v1/route", {"model": "m", "frontend": "c"}, headers=shown).status == 403
    # and a key for what is not there is not made
    refused = herd.post("/herd/v1/keys", {"name": "typo", "frontends": ["a", "nosuch"]})
    assert refused.status == 400 and "nosuch" in refused.json()["error"] and "Team A" in refused.json()["error"]
    assert herd.get("/herd/v1/keys/typo").status == 404
    # A node of another frontend is nobody's here, which is not to say that the model is missing.
    named = ask(herd, Authorization="Bearer " + only, X_Herd_Node="b2")
    assert named.status == 503 and "no single node is called 'b2'" in named.json()["error"]


# ------------------------------------------------------------------------------------------------------- labels

LABELS = """
[[frontend]]
name = "eu"
hostnames = ["*"]
labels_required = ["EU"]
sticky = true
[[frontend]]
name = "all"
hostnames = ["all.lan"]
"""


def labelled(fleet, backends, labels, config):
    text = config + "".join('[[node]]\nname = "b%d"\nurl = "%s"\nlabels = %s\n' % (i, b.url, json.dumps(l))
                            for i, (b, l) in enumerate(zip(backends, labels), 1))
    herd = fleet.herd(discovery=False, config=fleet.config(text))
    return herd.wait_online("b%d" % i for i in range(1, len(backends) + 1))


def test_a_label_is_kept_on_every_retry_and_a_sticky_conversation(fleet):
    def dying(exchange):
        exchange.reset()
    eu, neutral, eu2 = (ScriptedOllama(["m:latest"], echo) for _ in range(3))
    with eu, neutral, eu2:
        herd = labelled(fleet, (eu, neutral, eu2), (["eu"], ["neutral"], ["EU", "fast"]), LABELS)
        # The client can add labels, and cannot take away what its frontend demands.
        for _ in range(6):
            assert ask(herd).header("X-Herd-Node") in ("b1", "b3")
            assert ask(herd, X_Herd_Label="fast").header("X-Herd-Node") == "b3"
            assert ask(herd, X_OllamaFlow_Label="FAST, eu").header("X-Herd-Node") == "b3"
        assert ask(herd, host="all.lan", X_Herd_Label="neutral").header("X-Herd-Node") == "b2"
        # "eu" is no part of "neutral", and nobody carries both.
        unknown = ask(herd, host="all.lan", X_Herd_Label="eutral")
        assert unknown.status == 400 and "eutral" in unknown.json()["error"]
        # A conversation bound to b1 leaves it when a label says so, and comes back to where it was served last.
        home = ask(herd, X_Herd_Session="talk").header("X-Herd-Node")
        for _ in range(5):
            assert ask(herd, X_Herd_Session="talk").header("X-Herd-Node") == home
        assert ask(herd, X_Herd_Session="talk", X_Herd_Label="fast").header("X-Herd-Node") == "b3"
        # Retries stay within the label: both carriers fail, the third node is never asked.
        before = len(inference(neutral))
        eu.script = eu2.script = dying
        failed = ask(herd)
        assert failed.status == 502 and "b2" not in failed.json()["error"]
        assert len(inference(neutral)) == before


def test_no_node_with_the_label_is_a_distinct_error(fleet):
    with ScriptedOllama(["m:latest"], echo) as eu, ScriptedOllama(["m:latest"], echo) as other:
        herd = labelled(fleet, (eu, other), (["eu"], []), "[scheduler]\nhold_timeout = \"1s\"\n")
        assert herd.drain("b1").status == 200
        answer = request(herd.url, "POST", "/v1/chat/completions", CHAT, [("X-Herd-Label", "eu")])
        assert answer.status == 503 and answer.json()["error"]["code"] == "no_node_with_label" and answer.header("Retry-After")
        answer = request(herd.url, "POST", "/v1/chat/completions", CHAT, [("X-Herd-Label", "nowhere")])
        assert answer.status == 400 and answer.json()["error"]["code"] == "unknown_label"


# --------------------------------------------------------------------------------------------------------- pins

PINS = """
[[frontend]]
name = "pinned"
hostnames = ["*"]
[frontend.pinned_completions]
seed = 7
stop = ["a", "b"]
[frontend.pinned_completions_ollama.options]
num_ctx = 8192
temperature = 0.5
"""


def test_pins_reach_the_node_in_all_three_dialects(two):
    herd, backends = two(PINS)
    body = {"model": "m", "messages": [], "stop": ["z"], "big": 12345678901234567890, "options": {"num_ctx": 1, "top_k": 3}}

    def sent(path):
        assert ask(herd, path, body).status == 200
        seen = max((s for b in backends for s in inference(b) if s.target == path), key=lambda s: len(s.body))
        assert int(seen.header("Content-Length")) == len(seen.body)
        return json.loads(seen.body)
    assert sent("/api/chat") == {**body, "seed": 7, "stop": ["a", "b"], "options": {"num_ctx": 8192, "top_k": 3, "temperature": 0.5}}
    assert sent("/v1/chat/completions") == {**body, "seed": 7, "stop": ["a", "b"]}
    assert sent("/v1/messages") == {**body, "seed": 7, "stop": ["a", "b"]}
    assert b"12345678901234567890" in inference(backends[0])[-1].body if inference(backends[0]) else True


COMPLETIONS = {"/api/generate": {"prompt": "hi"}, "/api/chat": {"messages": []}, "/v1/completions": {"prompt": "hi"}, "/v1/chat/completions": {"messages": []},
               "/v1/responses": {"input": "hi"}, "/v1/messages": {"messages": [], "max_tokens": 5}}
EMBEDDINGS = {"/api/embed": {"input": ["a", "b"]}, "/api/embeddings": {"prompt": "a"}, "/v1/embeddings": {"input": "a"}}
ALL_PINNED = """
[[frontend]]
name = "pinned"
hostnames = ["*"]
pinned_completions = { seed = 7, from = "common" }
pinned_completions_ollama = { options = { num_ctx = 8192 }, from = "ollama" }
pinned_completions_openai = { top_p = 0.5, from = "openai" }
pinned_embeddings = { truncate = false, from = "common" }
pinned_embeddings_ollama = { keep_alive = "1h", from = "ollama" }
pinned_embeddings_openai = { dimensions = 64, from = "openai" }
[[node]]
name = "b1"
url = "%s"
pinned_completions = { seed = 8 }
pinned_embeddings_openai = { dimensions = 32 }
"""


@pytest.mark.parametrize("path", [*COMPLETIONS, *EMBEDDINGS])
def test_pins_of_frontend_and_node_on_every_path_of_inference(fleet, path):
    of_ollama = path.startswith("/api/")
    if path in COMPLETIONS:
        pinned = {"seed": 8, **({"options": {"num_ctx": 8192}, "from": "ollama"} if of_ollama else {"top_p": 0.5, "from": "openai"})}
    else:
        pinned = {"truncate": False, **({"keep_alive": "1h", "from": "ollama"} if of_ollama else {"dimensions": 32, "from": "openai"})}
    with ScriptedOllama(["m:latest"], echo) as backend:
        herd = fleet.herd(discovery=False, config=fleet.config(ALL_PINNED % backend.url)).wait_online(["b1"])
        body = {"model": "m", **{**COMPLETIONS, **EMBEDDINGS}[path], "seed": 1, "truncate": True, "user": "x", "stream": False}
        answer = ask(herd, path, body)
        assert answer.status == 200, answer.body
        seen = inference(backend)[-1]
        assert seen.target == path and json.loads(seen.body) == {**body, **pinned}
        assert int(seen.header("Content-Length")) == len(seen.body)
        asked = herd.post("/herd/v1/route", {**body, "path": path, "frontend": "pinned"}).json()
        assert asked["chosen"] == "b1" and asked["body"] == json.loads(seen.body)  # what is told is what is sent


@pytest.mark.parametrize("path", [*COMPLETIONS, *EMBEDDINGS])
def test_labels_choose_the_node_on_every_path_of_inference(fleet, path):
    with ScriptedOllama(["m:latest"], echo) as eu, ScriptedOllama(["m:latest"], echo) as us:
        herd = labelled(fleet, (eu, us), (["eu"], ["us"]), "")
        body = {"model": "m", **{**COMPLETIONS, **EMBEDDINGS}[path], "stream": False}
        for label, node in (("eu", "b1"), ("US", "b2")) * 3:
            answer = ask(herd, path, body, X_Herd_Label=label)
            assert answer.status == 200 and answer.header("X-Herd-Node") == node, (label, answer.body)
        assert len(inference(eu)) == len(inference(us)) == 3
        nobody = ask(herd, path, body, X_Herd_Label="eu, us")
        unknown = ask(herd, path, body, X_Herd_Label="asia")
        assert (nobody.status, unknown.status) == (400, 400), (nobody.body, unknown.body)  # no 404: it reads as "please pull"
        assert "all the labels" in nobody.body.decode()
        error = unknown.json()["error"]
        assert (isinstance(error, str) if path.startswith("/api/") else isinstance(error, dict)) and "asia" in unknown.body.decode()
        assert len(inference(eu)) == len(inference(us)) == 3


def test_labels_choose_the_node_of_a_pull_and_of_a_question_about_a_model(fleet):
    def pulled(exchange):
        exchange.begin()
        exchange.chunk(b'{"status":"success"}\n')
        exchange.end()
    with ScriptedOllama(["m:latest"], pulled) as eu, ScriptedOllama(["m:latest"], pulled) as us:
        herd = labelled(fleet, (eu, us), (["eu"], ["us"]), "")
        for label, backend, other in (("us", us, eu), ("eu", eu, us)):
            pulls = [len([seen for seen in each.seen if seen.target == "/api/pull"]) for each in (backend, other)]
            assert ask(herd, "/api/pull", {"model": "new"}, X_Herd_Label=label).status == 200
            assert [len([seen for seen in each.seen if seen.target == "/api/pull"]) for each in (backend, other)] == [pulls[0] + 1, pulls[1]]
        for label, node in (("us", "b2"), ("eu", "b1")) * 2:
            assert ask(herd, "/api/show", {"model": "m"}, X_Herd_Label=label).header("X-Herd-Node") == node


def test_a_frontend_forces_a_model_that_one_node_has_and_case_does_not_help(two):
    herd, (b1, b2) = two("""
[[frontend]]
name = "one"
hostnames = ["*"]
pinned_completions = '{"model": "only"}'
""")
    for body in (b'{"model":"m","messages":[]}', b'{"model":"m","Model":"m","messages":[]}', b'{"MODEL":"m","messages":[]}',
                 b'{"\\u006dodel":"m","model":"m","messages":[]}'):
        answer = ask(herd, body=body)
        assert answer.status == 200 and answer.header("X-Herd-Node") == "b2" and answer.header("X-Herd-Model") == "only:latest"
        assert json.loads(inference(b2)[-1].body)["model"] == "only"
    assert not inference(b1)
    assert ask(herd, body=b"[1]").status == 400
    assert ask(herd, body=b'{"model":').status == 400


def test_a_nodes_pins_come_last_and_on_a_retry_from_the_frontends_body(fleet):
    def first_resets(exchange):
        exchange.reset()
    with ScriptedOllama(["m:latest"], first_resets) as b1, ScriptedOllama(["m:latest"], echo) as b2:
        text = PINS.replace("hostnames", 'policy = "round_robin"\nhostnames') + """
[[node]]
name = "b1"
url = "%s"
pinned_completions = { options = { num_gpu = 11 } }
[[node]]
name = "b2"
url = "%s"
pinned_completions = { options = { num_ctx = 222 } }
""" % (b1.url, b2.url)
        herd = fleet.herd(discovery=False, config=fleet.config(text)).wait_online(["b1", "b2"])
        answer = request(herd.url, "POST", "/api/chat", CHAT)
        for _ in range(20):
            if inference(b1):
                break
            answer = request(herd.url, "POST", "/api/chat", CHAT)
        assert answer.status == 200 and inference(b1)
        options = json.loads(inference(b1)[0].body)["options"]
        assert options == {"num_ctx": 8192, "temperature": 0.5, "num_gpu": 11}
        options = json.loads(inference(b2)[-1].body)["options"]
        assert options == {"num_ctx": 222, "temperature": 0.5}


# ------------------------------------------------------------------------------------------------------- limits

def test_exactly_threshold_requests_are_taken_by_a_node(fleet):
    gate = threading.Event()

    def slow(exchange):
        gate.wait(20)
        exchange.answer(200, DONE)
    with ScriptedOllama(["m:latest"], slow) as backend:
        herd = fleet.herd(discovery=False, config=fleet.config(
            '[[node]]\nname = "b1"\nurl = "%s"\nmax_parallel = 4\nqueue_limit = 6\n' % backend.url)).wait_online(["b1"])
        results = []

        def one():
            results.append(request(herd.url, "POST", "/api/chat", CHAT))
        threads = [threading.Thread(target=one, daemon=True) for _ in range(10)]
        for thread in threads:
            thread.start()
        wait_until(lambda: herd.status()["requests"]["in_flight"] + herd.status()["requests"]["queued"] >= 10, "ten requests to be taken")
        for _ in range(3):
            over = request(herd.url, "POST", "/api/chat", CHAT)
            assert over.status == 429 and 1 <= int(over.header("Retry-After")) <= 60
        wait_until(lambda: len(inference(backend)) >= 4, "four of them to have reached the node")
        assert len(inference(backend)) == 4
        gate.set()
        for thread in threads:
            thread.join(20)
        assert [r.status for r in results] == [200] * 10


def test_rate_and_parallel_limits_of_a_frontend(two):
    herd, _ = two("""
[[frontend]]
name = "slow"
hostnames = ["*"]
per_minute = 3
[[frontend]]
name = "free"
hostnames = ["free.lan"]
""")
    assert [ask(herd).status for _ in range(5)] == [200, 200, 200, 429, 429]
    over = ask(herd)
    assert over.status == 429 and 15 <= int(over.header("Retry-After")) <= 20
    assert ask(herd, "/v1/messages", CHAT).json()["type"] == "error"
    assert ask(herd, host="free.lan").status == 200
    assert request(herd.url, "GET", "/api/tags").status == 200


# ---------------------------------------------------------------------------------------------------- switching

def cli(fleet, herd, *words):
    done = subprocess.run([str(program("herd")), *words, "--url", herd.url], capture_output=True, text=True, timeout=20)
    return done.returncode, done.stdout + done.stderr


def test_use_switches_at_once_and_what_runs_stays(fleet):
    gate = threading.Event()

    def slow(exchange):
        exchange.begin()
        exchange.chunk(b'{"model":"m","message":{"content":"a"},"done":false}\n')
        gate.wait(20)
        exchange.chunk(json.dumps(DONE).encode() + b"\n")
        exchange.end()
    with ScriptedOllama(["m:latest"], slow) as b1, ScriptedOllama(["m:latest", "more:latest"], echo) as b2:
        herd = fleet.static(b1, b2)
        code, said = cli(fleet, herd, "use", "b1")
        assert code == 0 and "everything goes to b1" in said, said
        assert {row["name"] for row in herd.get("/api/tags").json()["models"]} == {"m:latest"}
        connection, answer, pieces = stream(herd.url, "/api/chat", {**CHAT, "stream": True})
        assert next(pieces) and answer.header("X-Herd-Node") == "b1"
        assert cli(fleet, herd, "use", "b2")[0] == 0
        for _ in range(4):  # from the very next request on
            assert herd.chat("m").header("X-Herd-Node") == "b2"
        assert "more:latest" in {row["name"] for row in herd.get("/api/tags").json()["models"]}
        gate.set()
        rest = b"".join(pieces)
        assert b'"done": true' in rest and answer.ended
        connection.close()
        assert request(herd.url, "POST", "/api/chat", CHAT, [("X-Herd-Node", "b1")]).status != 200
        code, said = cli(fleet, herd, "use", "nobody")
        assert code == 1 and "no node is called nobody" in said
        assert herd.chat("m").header("X-Herd-Node") == "b2"  # an unknown node changes nothing
        assert cli(fleet, herd, "use", "auto")[0] == 0
        assert herd.get("/herd/v1/frontends").json()["frontends"][0]["use"] is None


def test_a_switch_survives_a_restart_and_names_its_frontend(fleet):
    with ScriptedOllama(["m:latest"], echo) as b1, ScriptedOllama(["m:latest"], echo) as b2:
        config = """
[[frontend]]
name = "a"
hostnames = ["a.lan"]
[[frontend]]
name = "b"
hostnames = ["*"]
nodes = ["b1"]
"""
        herd = fleet.static(b1, b2, config=config)
        code, said = cli(fleet, herd, "use", "b2")
        assert code == 1 and "which one" in said and "a, b" in said
        assert cli(fleet, herd, "use", "b2", "--frontend", "a")[0] == 0
        code, said = cli(fleet, herd, "use", "b2", "--frontend", "b")
        assert code == 1 and "is not one of frontend 'b'" in said
        herd.signal(signal.SIGTERM)
        herd.wait(10)
        again = fleet.static(b1, b2, config=config)
        for _ in range(4):
            assert ask(again, host="a.lan").header("X-Herd-Node") == "b2"
            assert ask(again).header("X-Herd-Node") == "b1"


# ---------------------------------------------------------------------------------------------------- admin API

def admin(herd, method, path, body=None, **headers):
    return request(herd.url, method, "/herd/v1" + path, body, [(k.replace("_", "-"), v) for k, v in headers.items()])


def test_frontends_through_the_admin_api(two):
    herd, (b1, b2) = two('[[frontend]]\nname = "file"\nhostnames = ["file.lan"]\nnodes = ["b1"]\n')
    made = admin(herd, "POST", "/frontends", {"id": "new", "hostnames": ["new.internal"], "nodes": ["b2", "gone"], "pinned_completions": {"seed": 1}})
    assert made.status == 201 and made.header("ETag")
    assert made.json()["missing"] == ["gone"] and made.json()["members"] == ["b2"] and made.json()["source"] == "managed"
    assert ask(herd, host="new.internal").header("X-Herd-Node") == "b2"
    assert json.loads(inference(b2)[-1].body)["seed"] == 1
    # what is wrong is told with the field, and changes nothing
    for body, words in (({"id": "x", "policy": "LeastConnections"}, ("policy", "cost | round_robin | random | least_busy")),
                        ({"id": "x", "hostnames": ["a:80"]}, ("hostnames", "host name")),
                        ({"id": "x", "pinned_completions": []}, ("pinned_completions", "JSON object")),
                        ({"id": "x", "pinned_completions": {"a": 1}, "stiky": True}, ("unknown field", "sticky")),
                        ({"id": "x", "per_minute": -1}, ("per_minute", "number")),
                        ({"id": "a b"}, ("id",)), ({}, ("id",)),
                        ({"id": "x", "required_models": ["m:cloud"]}, ("required_models", "names of models"))):
        wrong = admin(herd, "POST", "/frontends", body)
        assert wrong.status == 400 and all(word in wrong.json()["error"] for word in words), (body, wrong.body)
    assert admin(herd, "POST", "/frontends", {"id": "new"}).status == 409
    taken = admin(herd, "POST", "/frontends", {"id": "other", "hostnames": ["NEW.internal"]})
    assert taken.status == 409 and "new" in taken.json()["error"]
    assert [f["id"] for f in admin(herd, "GET", "/frontends").json()["frontends"]] == ["file", "new"]
    # PATCH changes what it names, PUT everything else goes to the default, dry_run changes nothing
    tag = made.header("ETag")
    tried = admin(herd, "PATCH", "/frontends/new?dry_run=1", {"allow_completions": False})
    assert tried.status == 200 and tried.json()["before"]["allow_completions"] and not tried.json()["after"]["allow_completions"]
    assert ask(herd, host="new.internal").status == 200
    assert admin(herd, "PATCH", "/frontends/new", {"allow_completions": False}, If_Match='"0000000000000000"').status == 412
    changed = admin(herd, "PATCH", "/frontends/new", {"allow_completions": False}, If_Match=tag)
    assert changed.status == 200 and changed.header("ETag") != tag and changed.json()["nodes"] == ["b2", "gone"]
    assert ask(herd, host="new.internal").status == 403
    assert admin(herd, "PATCH", "/frontends/new", {"allow_embeddings": False}, If_Match=tag).status == 412
    replaced = admin(herd, "PUT", "/frontends/new", {"hostnames": ["new.internal"]})
    assert replaced.json()["nodes"] == ["*"] and replaced.json()["allow_completions"] and "pinned_completions" not in replaced.json()
    assert admin(herd, "PUT", "/frontends/new", {"id": "renamed"}).status == 409
    assert admin(herd, "PUT", "/frontends/nobody", {"hostnames": ["x.internal"]}).status == 404
    # one of herd.toml can be overridden, and an override taken back; not deleted from there
    assert admin(herd, "DELETE", "/frontends/file").status == 409
    assert admin(herd, "PATCH", "/frontends/file", {"nodes": ["b2"]}).json()["source"] == "managed"
    assert ask(herd, host="file.lan").header("X-Herd-Node") == "b2"
    assert admin(herd, "DELETE", "/frontends/file").json()["nodes"] == ["b1"]
    assert ask(herd, host="file.lan").header("X-Herd-Node") == "b1"
    assert admin(herd, "DELETE", "/frontends/new").status == 204
    assert admin(herd, "GET", "/frontends/%ff%fe").status == 404 and admin(herd, "PATCH", "/nodes/%ff/settings", {}).status == 404
    assert admin(herd, "GET", "/frontends/new").status == 404 and admin(herd, "DELETE", "/frontends/new").status == 404
    assert ask(herd, host="new.internal").status == 400


def test_settings_of_a_node_through_the_admin_api(sim_fleet):
    herd, nodes, sims = sim_fleet.simulated(2)
    shown = admin(herd, "GET", "/nodes/n1/settings")
    assert shown.status == 200 and shown.json()["weight"] == 1 and shown.json()["labels"] == []
    changed = admin(herd, "PATCH", "/nodes/n1", {"labels": ["EU"], "allow_embeddings": False, "weight": 3}, If_Match=shown.header("ETag"))
    assert changed.status == 200 and changed.json()["source"] == "managed"
    assert herd.node("n1")["labels"] == ["eu"]
    assert herd.chat("llama3.2:3b", headers=[("X-Herd-Label", "eu")]).header("X-Herd-Node") == "n1"
    wrong = admin(herd, "PATCH", "/nodes/n1", {"pinned_completions": {"Model": "x"}})
    assert wrong.status == 400 and "pinned_completions" in wrong.json()["error"] and "by a frontend" in wrong.json()["error"]
    assert admin(herd, "PATCH", "/nodes/nobody", {"weight": 2}).status == 404
    off = admin(herd, "PATCH", "/nodes/n1", {"active": False})
    assert off.status == 200 and off.json()["weight"] == 3
    assert herd.node("n1")["state"] == "draining" and herd.node("n1")["state_reason"] == "disabled"
    assert herd.chat("llama3.2:3b").header("X-Herd-Node") == "n2"
    # it is the same after a restart, for a node that announces itself
    herd.signal(signal.SIGTERM)
    herd.wait(10)
    again = sim_fleet.herd()
    again.wait_state("n1", "draining")
    assert admin(again, "GET", "/nodes/n1/settings").json()["weight"] == 3
    assert admin(again, "DELETE", "/nodes/n1/settings").json()["weight"] == 1
    again.wait_state("n1", "online")
    assert again.node("n1")["labels"] == []


def test_settings_of_a_discovered_node_in_the_file(sim_fleet):
    sim = sim_fleet.sim()
    herd = sim_fleet.herd(config=sim_fleet.config('[[node]]\nname = "N1"\nlabels = ["eu"]\nmax_parallel = 1\n'))
    sim_fleet.node("n1", sim)
    herd.wait_online(["n1"]).wait_models(["llama3.2:3b"])
    assert herd.node("n1")["labels"] == ["eu"]
    assert herd.chat("llama3.2:3b", headers=[("X-Herd-Label", "eu")]).status == 200


# ------------------------------------------------------------------------------------------------------- reload

def test_a_reload_is_whole_or_not_at_all_and_running_streams_go_on(fleet):
    gate = threading.Event()

    def slow(exchange):
        if b"slow" in exchange.body:
            exchange.begin()
            exchange.chunk(b'{"model":"m","message":{"content":"a"},"done":false}\n')
            gate.wait(20)
            exchange.chunk(json.dumps(DONE).encode() + b"\n")
            return exchange.end()
        exchange.answer(200, DONE)
    with ScriptedOllama(["m:latest"], slow) as b1, ScriptedOllama(["m:latest"], echo) as b2:
        nodes = "".join('[[node]]\nname = "b%d"\nurl = "%s"\n' % (i, b.url) for i, b in ((1, b1), (2, b2)))
        path = fleet.config('[[frontend]]\nname = "a"\nhostnames = ["*"]\nnodes = ["b1"]\n' + nodes)
        herd = fleet.herd(discovery=False, config=path).wait_online(["b1", "b2"])
        connection, answer, pieces = stream(herd.url, "/api/chat", {**CHAT, "stream": True, "slow": 1})
        assert next(pieces) and answer.header("X-Herd-Node") == "b1"
        for text, words in (('[[frontend]]\nname = "a"\nhostnames = ["*"]\npolicy = "Weighted"\n', ("line 4", "policy", "round_robin")),
                            ('[[frontend]]\nname = "a"\nhostnames = ["x.lan"]\n[[frontend]]\nname = "b"\nhostnames = ["X.lan"]\n', ("line 4", "hostnames")),
                            ('[[frontend]]\nname = "a"\npinned_completions = { when = 2026-01-01 }\n', ("line 3", "pinned_completions")),
                            ('[[frontend]]\nname = "a"\npinned_completions = "{"\n', ("line 3", "pinned_completions")),
                            ('[[frontend]]\nname = "a"\nrequired_models = [""]\n', ("line 3", "required_models")),
                            ('[[frontend]]\nhostnames = ["a"]\n', ("line 1", "needs a name")),
                            ('[[node]]\nlabels = ["a"]\n', ("line 1", "needs a url, or the name")),
                            ('[[frontend]]\nname = "a"\nstiky = true\n', ("line 3", "sticky"))):
            path.write_text(text)
            refused = herd.post("/herd/v1/reload")
            assert refused.status == 400 and all(word in refused.json()["error"] for word in words), (text, refused.body)
            assert ask(herd).header("X-Herd-Node") == "b1"  # nothing of it is in force
        path.write_text('[[frontend]]\nname = "a"\nhostnames = ["*"]\nnodes = ["b2"]\nper_minut = 3\n' + nodes)
        code, said = cli(fleet, herd, "reload")
        assert code == 1 and all(word in said for word in ("line 5", "per_minut", "per_minute")), said
        assert ask(herd).header("X-Herd-Node") == "b1"
        path.write_text('[[frontend]]\nname = "a"\nhostnames = ["*"]\nnodes = ["b2"]\n' + nodes)
        assert cli(fleet, herd, "reload")[0] == 0
        assert ask(herd).header("X-Herd-Node") == "b2"
        assert herd.get("/herd/v1/requests?limit=5").status == 200 and not answer.ended  # the stream goes on under what it began with
        path.write_text('[[frontend]]\nname = "a"\nhostnames = ["a.internal"]\n' + nodes)
        herd.signal(signal.SIGHUP)
        wait_until(lambda: ask(herd).status == 400, "SIGHUP to apply the file")
        assert ask(herd, host="a.internal").status == 200
        gate.set()
        rest = b"".join(pieces)
        assert b'"done": true' in rest and answer.ended
        connection.close()


def test_a_managed_file_that_makes_no_sense_stops_the_start_with_its_name(fleet):
    state = fleet.folder / "odd"
    state.mkdir()
    (state / "managed.json").write_text('{"frontends":[{"id":"a","policy":"odd"}]}')
    herd = fleet.herd(discovery=False, state="odd", wait=False)
    assert herd.wait(10) == 2
    assert "managed.json" in herd.output() and "policy" in herd.output()


def test_a_path_can_name_the_frontend(two):
    herd, _ = two('[[frontend]]\nname = "a"\npath_prefix = true\nnodes = ["b2"]\n[[frontend]]\nname = "rest"\nhostnames = ["*"]\nnodes = ["b1"]\n')
    assert request(herd.url, "POST", "/f/a/api/chat", CHAT).header("X-Herd-Node") == "b2"
    assert request(herd.url, "POST", "/f/a/v1/chat/completions", CHAT).header("X-Herd-Node") == "b2"
    assert request(herd.url, "GET", "/f/a/").body == b"Ollama is running"
    assert ask(herd).header("X-Herd-Node") == "b1"


# ------------------------------------------------------------------------------------------- what was written down

def test_frontends_and_nodes_remember_when_they_were_made_and_changed(fleet):
    def dates(where, path):
        answer = admin(where, "GET", path)
        return answer.json().get("created"), answer.json().get("updated"), answer.header("ETag")

    with ScriptedOllama(["m:latest"], echo) as b1, ScriptedOllama(["m:latest"], echo) as b2, ScriptedOllama(["m:latest"], echo) as b3:
        path = fleet.config('[[frontend]]\nname = "file"\nhostnames = ["file.lan"]\n[[node]]\nname = "b1"\nurl = "%s"\n' % b1.url)
        os.utime(path, (1700000000, 1700000000))
        herd = fleet.herd("--node", b3.url, discovery=False, config=path).wait_online(["b1"])
        old = "2023-11-14T22:13:20.000Z"
        assert dates(herd, "/frontends/file")[:2] == (old, old) and dates(herd, "/nodes/b1/settings")[:2] == (old, old)
        flag = b3.url.split("//")[1]
        assert dates(herd, "/nodes/%s/settings" % flag)[:2] == (None, None)  # of a command line

        before = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=1)
        made = admin(herd, "POST", "/frontends", {"id": "new", "hostnames": ["new.lan"], "created": old, "updated": old})
        assert made.status == 201 and made.json()["created"] == made.json()["updated"]
        assert before < datetime.datetime.fromisoformat(made.json()["created"].replace("Z", "+00:00")) < before + datetime.timedelta(seconds=60)
        added = herd.post("/herd/v1/nodes", {"name": "b2", "url": b2.url, "max_parallel": 3, "created": old, "updated": old})
        assert added.status == 201, added.body
        created, first, _ = dates(herd, "/nodes/b2/settings")
        assert made.json()["created"] < created <= first

        # sent back as it was read, dates and all: no change, by neither part of a node
        for where in ("/frontends/new", "/nodes/b2/settings"):
            was = dates(herd, where)
            for method in ("PUT", "PATCH"):
                for told in ({}, {"created": "x", "updated": None}):
                    same = admin(herd, method, where, admin(herd, "GET", where).json() | told)
                    assert same.status == 200, same.body
            assert dates(herd, where) == was
        # how a node is reached is changed, then its settings; a try is no change
        assert admin(herd, "PATCH", "/nodes/b2/settings?dry_run=1", {"bearer": "t"}).status == 200
        assert dates(herd, "/nodes/b2/settings")[1] == first
        second = admin(herd, "PATCH", "/nodes/b2/settings", {"bearer": "t"}).json()
        third = admin(herd, "PATCH", "/nodes/b2/settings", {"tier": 2}).json()
        assert second["created"] == third["created"] == created and first < second["updated"] < third["updated"]
        changed = admin(herd, "PATCH", "/frontends/file", {"per_minute": 60}).json()
        assert changed["created"] == old and changed["updated"] > third["updated"]

        # the file saved again with nothing else in it: what it says is newer, and its tag is the same
        was = dates(herd, "/nodes/b1/settings")
        os.utime(path, (1700000060, 1700000060))
        assert herd.post("/herd/v1/reload").status == 200
        assert dates(herd, "/nodes/b1/settings") == ("2023-11-14T22:14:20.000Z", "2023-11-14T22:14:20.000Z", was[2])
        assert dates(herd, "/frontends/file")[:2] == (old, changed["updated"])

        kept = {where: dates(herd, where)[:2] for where in ("/frontends/new", "/frontends/file", "/nodes/b1/settings", "/nodes/b2/settings")}
        herd.signal(signal.SIGTERM)
        herd.wait(10)
        again = fleet.herd("--node", b3.url, discovery=False, config=path).wait_online(["b1", "b2"])
        assert {where: dates(again, where)[:2] for where in kept} == kept
        assert admin(again, "DELETE", "/frontends/file").json()["updated"] == "2023-11-14T22:14:20.000Z"



def test_what_the_admin_api_wrote_survives_a_crash_while_it_wrote(two, fleet):
    herd, _ = two("")
    managed = fleet.folder / "herd" / "managed.json"
    half = fleet.folder / "herd" / "managed.json.new"
    elsewhere = fleet.folder / "elsewhere"
    elsewhere.write_text("untouched")
    assert admin(herd, "POST", "/frontends", {"id": "first", "hostnames": ["first.internal"]}).status == 201
    assert managed.stat().st_mode & 0o777 == 0o600 and not half.exists()
    written = managed.read_text()
    herd.kill()
    for leave in (lambda: half.write_text(written[:len(written) // 2]), lambda: half.symlink_to(elsewhere)):
        leave()  # what a crash before the rename leaves; and what somebody may have put there
        herd, _ = two("")
        assert [one["id"] for one in admin(herd, "GET", "/frontends").json()["frontends"]] == ["first"]
        changed = admin(herd, "PATCH", "/frontends/first", {"allow_embeddings": False})
        assert changed.status == 200, changed.body
        assert managed.stat().st_mode & 0o777 == 0o600 and not managed.is_symlink() and not half.exists() and not half.is_symlink()
        assert elsewhere.read_text() == "untouched"
        assert json.loads(managed.read_text())["frontends"][0]["allow_embeddings"] is False
        herd.kill()
    # Where it cannot be renamed nothing is changed, and nothing is left behind.
    herd, _ = two("")
    managed.rename(fleet.folder / "herd" / "kept.json")
    (managed / "in the way").mkdir(parents=True)
    refused = admin(herd, "PATCH", "/frontends/first", {"allow_completions": False})
    assert refused.status == 500 and "nothing was changed" in refused.json()["error"] and not half.exists()
    assert admin(herd, "GET", "/frontends/first").json()["allow_completions"] is True


def test_of_changes_with_the_same_tag_at_the_same_time_exactly_one_wins(two):
    herd, _ = two("threads = 2\n")
    assert admin(herd, "POST", "/frontends", {"id": "f", "hostnames": ["f.internal"]}).status == 201
    for path in ("/frontends/f", "/nodes/b1/settings"):
        for turn in range(10):
            tag = admin(herd, "GET", path).header("ETag")
            barrier, statuses, lock = threading.Barrier(6), [], threading.Lock()

            def put(i):
                body = {"hostnames": ["f.internal"], "per_minute": turn * 10 + i + 1} if path.startswith("/frontends") else {"queue_limit": turn * 10 + i + 1}
                barrier.wait(10)
                answer = admin(herd, "PUT", path, body, If_Match=tag)
                with lock:
                    statuses.append((answer.status, i))
            writers = [threading.Thread(target=put, args=(i,)) for i in range(6)]
            for writer in writers:
                writer.start()
            for writer in writers:
                writer.join(20)
            won = [i for status, i in statuses if status == 200]
            assert len(won) == 1 and sorted(status for status, _ in statuses) == [200] + [412] * 5, (path, statuses)
            now = admin(herd, "GET", path).json()
            assert now["per_minute" if path.startswith("/frontends") else "queue_limit"] == turn * 10 + won[0] + 1
