"""Several agents with a simulated Ollama each, on loopback: where requests go, and what happens when boxes go away."""
import json
import socket
import threading
import time

import pytest

from harness import Connection, report, request, wait_until
from harness.programs import ndjson, stream

MODEL = "llama3.2:3b"
CHAT = {"model": MODEL, "messages": [{"role": "user", "content": "tell me a story"}]}
LONG = {**CHAT, "options": {"num_predict": 2000}}


def content(answer):
    return "".join(line.get("message", {}).get("content", "") for line in answer.lines())


def in_parallel(jobs):
    """Runs every job on a thread of its own; their results in order. The first exception is raised."""
    results, errors = [None] * len(jobs), []

    def run(i, job):
        try:
            results[i] = job()
        except Exception as error:  # told to the test below
            errors.append(error)
    threads = [threading.Thread(target=run, args=pair, daemon=True) for pair in enumerate(jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads), "a request hangs"
    if errors:
        raise errors[0]
    return results


# ------------------------------------------------------------------------------------------------------- failover

def test_nodes_appear_by_themselves_and_serve(sim_fleet):
    herd, nodes, sims = sim_fleet.simulated(3)
    assert herd.status()["nodes"]["online"] == 3
    answer = herd.chat(MODEL)
    assert answer.status == 200 and answer.json()["done"] and answer.header("X-Herd-Node") in ("n1", "n2", "n3")


def test_a_killed_node_costs_no_request(sim_fleet):
    herd, nodes, sims = sim_fleet.simulated(2)
    first = herd.chat(MODEL).header("X-Herd-Node")
    nodes[int(first[1]) - 1].kill()
    answer = herd.chat(MODEL, timeout=10)
    assert answer.status == 200 and answer.header("X-Herd-Node") != first
    herd.wait_state(first, ("suspect", "offline"), 3)
    assert herd.chat(MODEL).header("X-Herd-Retries") == "0"


def test_a_node_killed_before_the_first_byte_is_replaced_unnoticed(sim_fleet):
    herd, nodes, sims = sim_fleet.simulated(2)
    for sim in sims:
        sim.fault("hang", count=1)
    result = []
    asking = threading.Thread(target=lambda: result.append(herd.chat(MODEL, timeout=20)), daemon=True)
    asking.start()
    busy = wait_until(lambda: next((i for i, sim in enumerate(sims) if sim.state()["requests"] > 0), None) is not None and
                      [i for i, sim in enumerate(sims) if sim.state()["requests"] > 0], "the request at a node")[0]
    sims[1 - busy].heal()
    nodes[busy].kill()
    asking.join(15)
    assert result and result[0].status == 200 and result[0].header("X-Herd-Retries") == "1", result


@pytest.mark.parametrize("path,body", [("/api/chat", LONG), ("/api/generate", {"model": MODEL, "prompt": "x", "options": {"num_predict": 2000}}),
                                       ("/v1/chat/completions", {**CHAT, "stream": True, "max_tokens": 2000}),
                                       ("/v1/messages", {**CHAT, "stream": True, "max_tokens": 2000})], ids=["chat", "generate", "openai", "anthropic"])
def test_a_node_killed_in_the_stream_ends_it_with_an_error(sim_fleet, path, body):
    herd, nodes, sims = sim_fleet.simulated(2)
    with_errors = []
    connection, answer, pieces = stream(herd.url, path, body)
    assert answer.status == 200, answer
    for _ in zip(range(5), pieces):
        pass
    nodes[int(answer.header("X-Herd-Node")[1]) - 1].kill()
    for _ in pieces:
        pass
    if path.startswith("/api"):
        assert "error" in answer.lines()[-1], answer.lines()[-2:]
    else:
        name, last = answer.events()[-1]
        assert last["error"]["message"], answer.events()[-2:]
    assert connection.closed_by_peer(5)
    connection.close()
    assert not with_errors and herd.chat(MODEL, timeout=10).status == 200


def test_a_killed_node_that_starts_again_is_back_as_itself(sim_fleet):
    herd, nodes, sims = sim_fleet.simulated(1)
    before = herd.node("n1")["id"]
    nodes[0].kill()
    herd.wait_state("n1", ("suspect", "offline"), 5)
    started = time.monotonic()
    sim_fleet.node("n1", sims[0])
    herd.wait_online(["n1"], 5)
    report("killed agent started again: routable after %.0f ms" % (1000 * (time.monotonic() - started)))
    assert herd.node("n1")["id"] == before and len(herd.nodes()) == 1
    assert herd.chat(MODEL).status == 200


def test_an_ollama_that_dies_takes_its_node_out_and_brings_it_back(sim_fleet):
    herd, nodes, sims = sim_fleet.simulated(2)
    port = sims[0].url.rsplit(":", 1)[1]
    sims[0].kill()
    herd.wait_state("n1", ("suspect", "offline", "draining", "unreachable"), 3)
    for _ in range(5):
        answer = herd.chat(MODEL)
        assert answer.status == 200 and answer.header("X-Herd-Node") == "n2"
    assert nodes[0].alive(), "herd-node survives its Ollama"
    sim_fleet.sim(MODEL, listen="127.0.0.1:" + port)
    herd.wait_online(["n1"], 10)


def test_a_client_that_leaves_stops_the_nodes_work_within_100_ms(sim_fleet):
    herd, nodes, sims = sim_fleet.simulated(1)
    herd.chat(MODEL)
    connection, answer, pieces = stream(herd.url, "/api/chat", LONG)
    for _ in zip(range(3), pieces):
        pass
    assert sims[0].state()["active"] == 1
    left = time.monotonic()
    connection.close()
    wait_until(lambda: sims[0].state()["active"] == 0, "the simulated Ollama to be idle", 3, every=0.002)
    took = time.monotonic() - left
    report("client leaves: node idle after %.1f ms through herd and herd-node (target < 100)" % (1000 * took))
    assert took < 0.1 and sims[0].state()["cancelled"] >= 1


def test_a_client_that_leaves_while_it_waits_in_the_queue_is_forgotten(sim_fleet):
    herd, nodes, sims = sim_fleet.simulated(1)
    connection, answer, pieces = stream(herd.url, "/api/chat", LONG)
    next(pieces)
    waiting = Connection(herd.url)
    waiting.send("POST", "/api/chat", CHAT)
    wait_until(lambda: herd.status()["requests"]["queued"] == 1, "one request queued")
    waiting.close()
    wait_until(lambda: herd.status()["requests"]["queued"] == 0, "an empty queue", 2)
    connection.close()
    assert sims[0].state()["requests"] <= 2


# -------------------------------------------------------------------------------------------------------- queueing

def test_one_slot_means_one_at_a_time_and_in_order(sim_fleet):
    herd, nodes, sims = sim_fleet.simulated(1)
    holder, _, pieces = stream(herd.url, "/api/chat", LONG)
    next(pieces)
    names = ["order-%02d" % number for number in range(50)]
    queue = []
    for place, name in enumerate(names, 1):
        connection = Connection(herd.url, 60)
        connection.send("POST", "/api/chat", {**CHAT, "options": {"num_predict": 2}}, {"X-Request-Id": name})
        queue.append(connection)
        # Nothing leaves the queue while the slot is held, so this number tells that herd has this one too.
        wait_until(lambda: herd.status()["requests"]["queued"] == place, "%s to be queued" % name)
    holder.close()
    assert [connection.head().status for connection in queue] == [200] * 50
    state = sims[0].state()
    assert state["active_max"] == 1
    # The order in which the node got them. In which order clients read their answers is up to the clients' threads.
    assert [row["request_id"] for row in state["seen"] if row["path"] == "/api/chat"][1:] == names


def test_two_nodes_share_the_work(sim_fleet):
    herd, nodes, sims = sim_fleet.simulated(2)
    answers = in_parallel([lambda: herd.chat(MODEL, options={"num_predict": 30}, timeout=30) for _ in range(12)])
    where = [answer.header("X-Herd-Node") for answer in answers]
    assert all(answer.status == 200 for answer in answers)
    assert min(where.count("n1"), where.count("n2")) >= 3, where
    assert all(sim.state()["active_max"] <= 1 for sim in sims)


def test_a_full_queue_answers_429_with_retry_after(sim_fleet):
    config = sim_fleet.config("[scheduler]\nqueue_per_model = 2\n")
    sim = sim_fleet.sim(MODEL)
    herd = sim_fleet.herd(config=config)
    sim_fleet.node("n1", sim)
    herd.wait_online(["n1"]).wait_models([MODEL])
    held = []
    for i in range(3):
        connection = Connection(herd.url)
        connection.send("POST", "/api/chat", LONG)
        held.append(connection)
        wait_until(lambda: herd.status()["requests"]["in_flight"] > 0 and herd.status()["requests"]["queued"] == i, "one running and %d queued" % i)
    answer = herd.chat(MODEL)
    assert answer.status == 429 and int(answer.header("Retry-After")) >= 1 and answer.json()["error"], answer
    for connection in held:
        connection.close()


def test_a_deadline_that_passes_in_the_queue_is_504(sim_fleet):
    herd, nodes, sims = sim_fleet.simulated(1)
    connection, answer, pieces = stream(herd.url, "/api/chat", LONG)
    next(pieces)
    late = herd.chat(MODEL, headers={"X-Herd-Deadline": "0.3"}, timeout=10)
    assert late.status == 504, late
    connection.close()


def test_no_node_at_all_is_503_at_once(fleet):
    herd = fleet.herd()
    answer = request(herd.url, "POST", "/api/chat", CHAT, timeout=5)
    assert answer.status == 503 and answer.header("Retry-After") and answer.json()["error"], answer
    assert herd.get("/readyz").status == 503 and herd.get("/healthz").status == 200


# ---------------------------------------------------------------------------------------------- models and routes

def test_unloading_reaches_every_node(sim_fleet):
    herd, nodes, sims = sim_fleet.simulated(3)
    for name in ("n1", "n2", "n3"):
        assert herd.chat(MODEL, headers={"X-Herd-Node": name}, options={"num_predict": 1}).header("X-Herd-Node") == name
    assert all(sim.get("/api/ps").json()["models"] for sim in sims)
    answer = herd.post("/api/generate", {"model": MODEL, "keep_alive": 0})
    assert answer.status == 200 and answer.json()["done_reason"] == "unload" and answer.json()["model"] == MODEL
    wait_until(lambda: not any(sim.get("/api/ps").json()["models"] for sim in sims), "the model gone everywhere", 3)


def test_a_request_goes_where_its_model_is_loaded(sim_fleet):
    herd, nodes, sims = sim_fleet.simulated(3)
    herd.chat(MODEL, headers={"X-Herd-Node": "n2"}, options={"num_predict": 1})
    wait_until(lambda: any(row["loaded"] for model in herd.get("/herd/v1/models").json()["models"] for row in model["nodes"]), "the load to be known", 5)
    assert [herd.chat(MODEL, options={"num_predict": 1}).header("X-Herd-Node") for _ in range(4)] == ["n2"] * 4


def test_a_request_goes_where_its_model_is(sim_fleet):
    a, b = sim_fleet.sim("llama3.2:3b"), sim_fleet.sim("qwen3:8b")
    herd = sim_fleet.herd()
    sim_fleet.node("n1", a), sim_fleet.node("n2", b)
    herd.wait_online(["n1", "n2"]).wait_models(["llama3.2:3b", "qwen3:8b"])
    for _ in range(3):
        assert herd.chat("llama3.2:3b", options={"num_predict": 1}).header("X-Herd-Node") == "n1"
        assert herd.chat("QWEN3:8B", options={"num_predict": 1}).header("X-Herd-Node") == "n2"
    tags = {row["name"] for row in herd.get("/api/tags").json()["models"]}
    assert tags == {"llama3.2:3b", "qwen3:8b"}
    assert {row["id"] for row in herd.get("/v1/models").json()["data"]} == tags


def test_pinning_and_its_errors(sim_fleet):
    herd, nodes, sims = sim_fleet.simulated(2)
    identity = herd.node("n2")["id"]
    assert herd.chat(MODEL, headers={"X-Herd-Node": identity}).header("X-Herd-Node") == "n2"
    assert herd.chat(MODEL, headers={"X-Herd-Node": "nowhere"}, timeout=10).status in (400, 404, 503)


def test_labels_choose(sim_fleet):
    a, b = sim_fleet.sim(MODEL), sim_fleet.sim(MODEL)
    herd = sim_fleet.herd()
    sim_fleet.node("n1", a, "--label", "fast", "--label", "eu"), sim_fleet.node("n2", b, "--label", "eu")
    herd.wait_online(["n1", "n2"])
    wait_until(lambda: "fast" in herd.node("n1")["labels"], "labels")
    for _ in range(3):
        assert herd.chat(MODEL, headers={"X-Herd-Label": "fast, eu"}).header("X-Herd-Node") == "n1"
        assert herd.chat(MODEL, headers=[("X-OllamaFlow-Label", "eu"), ("X-OllamaFlow-Label", "fast")]).header("X-Herd-Node") == "n1"


def test_a_pull_goes_to_the_chosen_node_and_streams(sim_fleet):
    herd, nodes, sims = sim_fleet.simulated(2)
    answer = herd.post("/api/pull", {"model": "gemma3:1b"}, headers={"X-Herd-Node": "n2"}, timeout=60)
    assert answer.status == 200 and answer.lines()[-1] == {"status": "success"}, answer.lines()[-3:]
    assert [("gemma3:1b" in json.dumps(sim.get("/api/tags").json())) for sim in sims] == [False, True]
    herd.wait_models(["gemma3:1b"], 10)
    assert herd.chat("gemma3:1b").header("X-Herd-Node") == "n2"
    whole = herd.post("/api/pull", {"model": "gemma3:1b", "stream": False}, headers={"X-Herd-Node": "n1"}, timeout=60)
    assert whole.status == 200 and whole.json() == {"status": "success"}


def test_blobs_and_create_meet_on_one_node(sim_fleet):
    import hashlib
    herd, nodes, sims = sim_fleet.simulated(3)
    for i in range(4):
        data = b"GGUF" + b"%d" % i * 1000
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        assert request(herd.url, "POST", "/api/blobs/" + digest, data).status == 201
        assert request(herd.url, "HEAD", "/api/blobs/" + digest).status == 200
        made = herd.post("/api/create", {"model": "made%d" % i, "files": {"m.gguf": digest}}, timeout=20)
        assert made.status == 200 and made.lines()[-1] == {"status": "success"}, made
        herd.wait_models(["made%d" % i], 10)
        assert herd.chat("made%d" % i, options={"num_predict": 1}).status == 200


def test_copy_and_delete_reach_every_holder(sim_fleet):
    herd, nodes, sims = sim_fleet.simulated(3)
    assert herd.post("/api/copy", {"source": MODEL, "destination": "twin"}).status == 200
    assert all("twin:latest" in json.dumps(sim.get("/api/tags").json()) for sim in sims)
    herd.wait_models(["twin"], 10)
    assert request(herd.url, "DELETE", "/api/delete", {"model": "twin"}).status == 200
    assert not any("twin:latest" in json.dumps(sim.get("/api/tags").json()) for sim in sims)
    wait_until(lambda: request(herd.url, "DELETE", "/api/delete", {"model": "twin"}).status == 404, "the deletion to be known", 5)


def test_ps_shows_the_whole_fleet_and_version_the_lowest(sim_fleet):
    old, new = sim_fleet.sim(MODEL, "--version-string", "0.9.6"), sim_fleet.sim(MODEL, "--version-string", "0.33.0")
    herd = sim_fleet.herd()
    sim_fleet.node("n1", old), sim_fleet.node("n2", new)
    herd.wait_online(["n1", "n2"]).wait_models([MODEL])
    wait_until(lambda: herd.get("/api/version").json() == {"version": "0.9.6"}, "the lowest version")
    for name in ("n1", "n2"):
        herd.chat(MODEL, headers={"X-Herd-Node": name}, options={"num_predict": 1})
    rows = wait_until(lambda: herd.get("/api/ps").json()["models"], "ps rows", 5)
    assert {row["name"] for row in rows} == {MODEL} and all(row["digest"] and row["size"] > 0 for row in rows)


def test_an_unknown_route_with_a_model_goes_to_a_node_and_others_are_404(sim_fleet):
    herd, nodes, sims = sim_fleet.simulated(1)
    answer = herd.post("/v1/future", {"model": MODEL, "x": 1})
    assert answer.header("X-Herd-Node") == "n1" and answer.status == 404  # the node's own word on it
    for method, path, body in (("GET", "/api/nothing", None), ("POST", "/api/nothing", {"x": 1}), ("PUT", "/api/chat2", None)):
        answer = request(herd.url, method, path, body)
        assert answer.status == 404 and answer.body == b"404 page not found" and answer.header("content-type").startswith("text/plain"), answer


def test_models_that_nobody_has_draw_ollamas_text(sim_fleet):
    herd, nodes, sims = sim_fleet.simulated(1)
    for path in ("/api/chat", "/api/generate"):
        answer = herd.post(path, {"model": "nope", "prompt": "x", "messages": CHAT["messages"]})
        assert (answer.status, answer.json()) == (404, {"error": "model 'nope' not found"})
    answer = herd.post("/v1/chat/completions", {**CHAT, "model": "nope"})
    assert answer.status == 404 and answer.json()["error"]["message"] == "model 'nope' not found"
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
    answer = herd.post("/v1/messages", {**CHAT, "model": "nope", "max_tokens": 5})
    assert answer.status == 404 and answer.json()["type"] == "error" and answer.json()["error"]["message"] == "model 'nope' not found"
    assert all(not sim.state()["requests"] for sim in sims)


ALLOWED = ["http://localhost:3000", "https://127.0.0.1", "app://obsidian.md", "tauri://localhost", "vscode-webview://abc"]


def test_browsers_are_answered_as_ollama_does_it(sim_fleet):
    herd, nodes, sims = sim_fleet.simulated(1)
    for origin in ALLOWED:
        preflight = request(herd.url, "OPTIONS", "/api/chat", headers={"Origin": origin, "Access-Control-Request-Method": "POST"})
        assert preflight.status == 204 and preflight.header("Access-Control-Allow-Origin") == origin, (origin, preflight)
        assert "POST" in preflight.header("Access-Control-Allow-Methods")
        plain = herd.chat(MODEL, headers={"Origin": origin}, options={"num_predict": 1})
        assert plain.status == 200 and plain.header("Access-Control-Allow-Origin") == origin
    for origin in ("http://evil.example", "chrome-extension://abc", "null"):
        assert request(herd.url, "GET", "/api/tags", headers={"Origin": origin}).status == 403
        assert request(herd.url, "OPTIONS", "/api/chat", headers={"Origin": origin, "Access-Control-Request-Method": "POST"}).status == 403
    same = herd.url.split("//")[1]
    assert request(herd.url, "GET", "/api/tags", headers={"Origin": "http://" + same}).status == 200


def test_head_is_answered_where_ollama_does(sim_fleet):
    herd, nodes, sims = sim_fleet.simulated(1)
    for path in ("/", "/api/version", "/api/tags"):
        answer = request(herd.url, "HEAD", path)
        assert answer.status == 200 and answer.body == b"" and int(answer.header("content-length", "0")) >= 0, (path, answer)


def test_zstd_bodies_are_taken_where_ollama_takes_them(sim_fleet):
    import shutil
    import subprocess
    if not shutil.which("zstd"):
        pytest.skip("no zstd program to make a compressed body with")
    herd, nodes, sims = sim_fleet.simulated(1)
    packed = subprocess.run(["zstd", "-q", "-c"], input=json.dumps({"model": MODEL, "input": "x", "stream": False}).encode(), capture_output=True, check=True).stdout
    answer = request(herd.url, "POST", "/v1/responses", packed, {"Content-Encoding": "zstd"})
    assert answer.header("X-Herd-Node") == "n1", answer


# ----------------------------------------------------------------------------------------------------------- admin

def test_draining_sends_nothing_new_and_resuming_brings_it_back(sim_fleet):
    herd, nodes, sims = sim_fleet.simulated(2)
    connection, answer, pieces = stream(herd.url, "/api/chat", {**CHAT, "options": {"num_predict": 60}}, {"X-Herd-Node": "n1"})
    next(pieces)
    assert herd.drain("n1").status == 200
    assert herd.wait_state("n1", "draining", 2)
    assert [herd.chat(MODEL, options={"num_predict": 1}).header("X-Herd-Node") for _ in range(4)] == ["n2"] * 4
    for _ in pieces:
        pass
    assert answer.lines()[-1]["done"], "a stream on a draining node is finished"
    connection.close()
    assert herd.resume("n1").status == 200
    herd.wait_online(["n1"], 3)
    assert herd.chat(MODEL, headers={"X-Herd-Node": "n1"}).status == 200
    assert herd.drain("nowhere").status == 404


def test_nodes_can_be_added_and_removed_at_run_time(sim_fleet):
    sim = sim_fleet.sim(MODEL)
    herd = sim_fleet.herd()
    added = herd.post("/herd/v1/nodes", {"url": sim.url, "name": "attic", "labels": ["eu"]})
    assert added.status in (200, 201), added
    herd.wait_online(["attic"]).wait_models([MODEL])
    node = herd.node("attic")
    assert node["source"] == "static" and node["labels"] == ["eu"] and node["url"].rstrip("/") == sim.url
    assert herd.chat(MODEL).header("X-Herd-Node") == "attic"
    assert request(herd.url, "DELETE", "/herd/v1/nodes/" + node["id"]).status in (200, 204)
    wait_until(lambda: herd.node("attic") is None, "attic to be gone", 3)
    assert herd.chat(MODEL, timeout=10).status == 503
    assert herd.post("/herd/v1/nodes", {"url": "not a url"}).status == 400


def test_a_rebound_web_page_reaches_no_gateway(sim_fleet):
    """The agent listens for the LAN, but who comes by loopback must call it by a name that Ollama takes too."""
    node = sim_fleet.node("n1", sim_fleet.sim(MODEL), listen="0.0.0.0:0")
    for host in ("evil.com:11436", "evil.com"):
        for fields in ([("Host", host)], [("Host", host), ("Origin", "http://" + host)]):
            for method, path in (("GET", "/api/tags"), ("POST", "/api/chat"), ("GET", "/herd/v1/node")):
                assert request(node.url, method, path, {} if method == "POST" else None, fields).status == 403, (host, path)
    for host in ("localhost", "127.0.0.1:1", "[::1]", "box.local", socket.gethostname()):
        assert request(node.url, "GET", "/api/tags", headers=[("Host", host)]).status == 200, host
    herd = sim_fleet.herd()
    herd.wait_online(["n1"])
    assert herd.chat(MODEL).status == 200


def test_a_node_that_was_added_or_removed_is_on_disk_before_that_is_told(sim_fleet):
    sim = sim_fleet.sim(MODEL)
    herd = sim_fleet.herd(discovery=False)
    saved = sim_fleet.folder / "herd" / "fleet.json"
    assert herd.post("/herd/v1/nodes", {"url": sim.url, "name": "attic"}).status == 201
    herd.kill()
    assert "attic" in saved.read_text()
    herd = sim_fleet.herd(discovery=False)
    herd.wait_online(["attic"])
    assert herd.delete("/herd/v1/nodes/attic").status == 200
    herd.kill()
    assert "attic" not in saved.read_text()
    assert sim_fleet.herd(discovery=False).node("attic") is None


def test_a_node_that_would_come_back_or_is_switched_to_is_not_removed(sim_fleet):
    first, second = sim_fleet.sim(MODEL), sim_fleet.sim(MODEL)
    herd = sim_fleet.static(first)
    assert herd.post("/herd/v1/nodes", {"url": second.url, "name": "attic"}).status == 201
    refused = herd.delete("/herd/v1/nodes/b1")
    assert refused.status == 409 and "herd.toml" in refused.json()["error"] and herd.node("b1")["state"] == "online"
    used = herd.post("/herd/v1/use", {"node": "attic"})
    assert used.status == 200
    assert herd.post("/herd/v1/use", {"node": "b1"}, headers=[("If-Match", '"0000000000000000"')]).status == 412
    assert herd.post("/herd/v1/use", {"node": "b1", "fronted": "x"}).status == 400
    refused = herd.delete("/herd/v1/nodes/attic")
    assert refused.status == 409 and "switched to this node" in refused.json()["error"]
    assert herd.post("/herd/v1/use", {"node": "auto"}, headers=[("If-Match", used.header("ETag"))]).status == 200
    tag = herd.get("/herd/v1/nodes/attic/settings").header("ETag")
    assert herd.delete("/herd/v1/nodes/attic", headers=[("If-Match", '"0000000000000000"')]).status == 412
    assert herd.delete("/herd/v1/nodes/attic", headers=[("If-Match", tag)]).status == 200
    wait_until(lambda: herd.node("attic") is None, "attic to be gone", 3)


def test_a_wrong_method_on_a_path_of_the_admin_api_names_the_right_ones(sim_fleet):
    herd = sim_fleet.herd(discovery=False)
    for method, path, allow in (("PUT", "/herd/v1/nodes", "GET, HEAD, POST"), ("GET", "/herd/v1/use", "POST"), ("POST", "/herd/v1/config", "GET, HEAD"),
                                ("DELETE", "/herd/v1/reload", "POST"), ("GET", "/herd/v1/nodes/x/drain", "POST")):
        answer = request(herd.url, method, path, {} if method in ("PUT", "POST") else None)
        assert (answer.status, answer.header("Allow")) == (405, allow), (method, path)
    assert request(herd.url, "GET", "/herd/v1/nothing").status == 404


def test_the_admin_routes_have_the_shapes_of_the_contract(sim_fleet):
    herd, nodes, sims = sim_fleet.simulated(1)
    herd.chat(MODEL)
    status = herd.status()
    assert {"version", "uptime_s", "nodes", "models", "requests"} <= set(status)
    assert {"total", "online", "suspect", "offline", "draining"} <= set(status["nodes"])
    assert {"in_flight", "queued", "total", "failed"} <= set(status["requests"]) and status["requests"]["total"] >= 1
    node = herd.node("n1")
    assert {"id", "name", "address", "url", "state", "since", "last_seen_ms", "latency_ms", "version", "ollama_version", "labels", "gateway", "cpu", "memory",
            "gpus", "slots", "in_flight", "queued", "models", "loaded", "source"} <= set(node), sorted(node)
    assert {"total", "free"} <= set(node["slots"])
    assert herd.get("/herd/v1/nodes/n1").json()["id"] == node["id"] == herd.get("/herd/v1/nodes/" + node["id"]).json()["id"]
    assert herd.get("/herd/v1/nodes/nowhere").status == 404 and "error" in herd.get("/herd/v1/nodes/nowhere").json()
    model = next(model for model in herd.get("/herd/v1/models").json()["models"] if model["name"] == MODEL)
    assert {"node", "digest", "size", "loaded"} <= set(model["nodes"][0])
    assert herd.get("/readyz").status == 200 and herd.get("/healthz").status == 200
    assert herd.get("/herd/v1/nothing").status == 404 and "error" in herd.get("/herd/v1/nothing").json()
    assert herd.get("/").body == b"Ollama is running"


def test_the_agent_serves_its_document_and_nothing_twice(sim_fleet):
    herd, nodes, sims = sim_fleet.simulated(1)
    first = nodes[0].get("/herd/v1/node")
    assert first.status == 200 and first.header("ETag")
    assert {model["cache_bytes_per_token"] for model in first.json()["models"]} == {131072}, "as the models' metadata say"
    assert nodes[0].get("/herd/v1/node", headers={"If-None-Match": first.header("ETag")}).status == 304
    assert nodes[0].get("/api/version").json() == sims[0].get("/api/version").json(), "the gateway relays the rest"
    answer = nodes[0].post("/api/chat", {**CHAT, "stream": False})
    assert answer.status == 200 and answer.json()["done"]


def test_an_agent_refuses_to_stand_before_a_herd_or_another_agent(sim_fleet):
    herd, nodes, sims = sim_fleet.simulated(1)
    for name, url in (("loop1", herd.url), ("loop2", nodes[0].url)):
        loop = sim_fleet.node(name, url, wait=False)
        loop.line(r"(?i)loop|refus|another|herd", 5)
    deadline = time.monotonic() + 1.5
    while time.monotonic() < deadline:
        assert herd.online() == {"n1"}
        time.sleep(0.05)


def test_an_agent_survives_without_its_ollama_and_says_so(sim_fleet):
    sim = sim_fleet.sim(MODEL)
    herd = sim_fleet.herd()
    port = sim.url.rsplit(":", 1)[1]
    sim.kill()
    node = sim_fleet.node("n1", "http://127.0.0.1:" + port)
    wait_until(lambda: herd.node("n1") is None or herd.node("n1")["state"] != "online", "no false promise")
    sim_fleet.sim(MODEL, listen="127.0.0.1:" + port)
    herd.wait_online(["n1"], 10).wait_models([MODEL])
    assert node.alive() and herd.chat(MODEL).status == 200


def test_a_stream_through_herd_keeps_the_pace_of_the_node(sim_fleet):
    herd, nodes, sims = sim_fleet.simulated(1)
    herd.chat(MODEL, options={"num_predict": 1})
    connection, answer, pieces = stream(herd.url, "/api/chat", {**CHAT, "options": {"num_predict": 40}})
    lines = [line for piece in pieces for line in ndjson(piece)]
    connection.close()
    gaps = sorted(b - a for a, b in zip(answer.times, answer.times[1:]))
    assert len(lines) >= 40 and lines[-1]["done"]
    assert answer.times[-1] - answer.times[0] > 0.2, "the chunks came in one go"
    report("40 tokens through herd and herd-node: median gap %.1f ms, largest %.1f ms" % (1000 * gaps[len(gaps) // 2], 1000 * gaps[-1]))
