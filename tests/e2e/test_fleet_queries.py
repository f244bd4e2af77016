"""What users and scripts of Ollama Herd ask for: /fleet/queue, /fleet/limits and /dashboard/api/*, in its shapes."""
import concurrent.futures
import json
import threading
import time

from harness import request, wait_until
from harness.programs import stream

MODEL = "llama3.2:3b"


def in_background(herd, **more):
    """A chat that will take long; its future answer."""
    answer = concurrent.futures.Future()
    def ask():
        try:
            answer.set_result(herd.chat(MODEL, **more))
        except OSError as error:
            answer.set_exception(error)
    threading.Thread(target=ask, daemon=True).start()
    return answer


QUEUE_KEYS = {"pending", "in_flight", "concurrency", "model", "node_id", "backend", "completed", "failed", "rejected", "max_queue_depth",
              "cache_hit_rate", "warm_hit_rate", "cold_request_pct", "cache_sample_count", "stats_samples", "avg_latency_ms",
              "avg_prompt_tokens", "avg_completion_tokens"}
TRACE_KEYS = {"request_id", "model", "original_model", "node_id", "score", "scores_breakdown", "status", "latency_ms", "time_to_first_token_ms",
              "prompt_tokens", "completion_tokens", "retry_count", "fallback_used", "excluded_nodes", "client_ip", "original_format",
              "error_message", "timestamp", "tags"}


def queued(herd):
    for line in herd.get("/metrics").body.decode().splitlines():
        if line.startswith('herd_requests_queued{model="%s"}' % MODEL):
            return float(line.split()[-1])
    return None


def test_a_client_can_see_how_long_it_would_wait(sim_fleet):
    herd = sim_fleet.static(sim_fleet.sim(MODEL, "--decode", "100"))
    assert herd.chat(MODEL, options={"num_predict": 5}).status == 200
    idle = wait_until(lambda: (lambda said: said["completed"] == 1 and said)(herd.get("/fleet/queue").json()), "the request to be counted")
    assert set(idle) >= {"queue_depth", "pending", "in_flight", "completed", "failed", "estimated_wait_ms", "nodes_online", "queues", "timestamp"}
    assert idle["queue_depth"] == 0 and idle["estimated_wait_ms"] == 0 and idle["nodes_online"] == 1
    assert herd.get("/fleet/queue?model=" + MODEL).json()["estimated_wait_ms"] == 0
    for _ in range(4):
        in_background(herd, options={"num_predict": 300})
    busy = wait_until(lambda: (lambda said: said["pending"] == 3 and said["in_flight"] == 1 and said)(herd.get("/fleet/queue").json()), "three to wait")
    assert busy["queue_depth"] == 4 and busy["model"] == MODEL and busy["estimated_wait_ms"] > 500, busy
    assert busy["queues"]["*:" + MODEL]["pending"] == 3 and busy["queues"]["*:" + MODEL]["node_id"] == "*"
    row = busy["queues"]["b1:" + MODEL]
    assert set(row) == QUEUE_KEYS and row["in_flight"] == 1 and row["concurrency"] == 1 and row["backend"] == "ollama"
    wait_until(lambda: queued(herd) == 3, "the metric to tell of it by model")
    for one in herd.get("/herd/v1/requests?status=in_flight").json()["requests"]:
        request(herd.url, "DELETE", "/herd/v1/requests/" + one["id"])
    wait_until(lambda: queued(herd) == 0, "the queue to be seen empty")
    assert herd.get("/fleet/queue?model=nobody-has-it").status == 404
    assert herd.get("/fleet/queue?modell=x").status == 400


def test_limits_are_told_by_node(sim_fleet):
    herd, nodes, sims = sim_fleet.simulated(2, MODEL, "--num-parallel", "3")
    herd.chat(MODEL)
    limits = herd.get("/fleet/limits").json()
    assert limits["max_retries"] == 2 and limits["queue_per_model"] == 256 and limits["client_in_flight"] == 0
    assert [node["node_id"] for node in limits["nodes"]] == ["n1", "n2"] and limits["timestamp"] > 1e9
    for node in limits["nodes"]:
        assert set(node) == {"node_id", "status", "hot_model_cap", "models_loaded", "free_slots", "slots_total", "slots_free"}
        assert node["status"] == "online" and node["hot_model_cap"] >= 1


def test_the_past_is_told_in_their_shapes(sim_fleet):
    herd = sim_fleet.static(sim_fleet.sim(), sim_fleet.sim())
    for i in range(3):
        assert herd.chat(MODEL, options={"num_predict": 4}, headers={"X-Herd-Tags": "app%d" % (i % 2)}).status == 200
    assert herd.chat("nobody-has-it").status == 404
    traces = herd.get("/dashboard/api/traces?limit=2").json()["traces"]
    assert len(traces) == 2 and all(set(trace) == TRACE_KEYS for trace in traces)
    assert traces[0]["status"] == "rejected" and traces[1]["status"] == "completed"
    assert traces[1]["scores_breakdown"]["total"] > 0 and abs(traces[1]["timestamp"] - time.time()) < 60

    def told(name):
        return herd.get("/dashboard/api/" + name).json()
    wait_until(lambda: told("overview")["total_requests"] == 4, "all to be on the disk")
    overview = told("overview")
    assert overview["models_count"] >= 1 and overview["total_tokens"] == overview["total_prompt_tokens"] + overview["total_completion_tokens"]
    assert overview["total_completion_tokens"] == 12
    trends = told("trends?hours=1")
    assert trends["hours"] == 1 and sum(row["request_count"] for row in trends["data"]) == 4
    models = told("models")
    assert models["days"] == 7 and [row["model_name"] for row in models["summary"] if row["total_requests"] == 3] == [MODEL]
    usage = told("usage?days=1")["data"]
    assert sum(row["completed_count"] for row in usage) == 3 and {row["node_id"] for row in usage} <= {"b1", "b2"}
    tags = told("tags")
    assert {row["tag"]: row["request_count"] for row in tags["data"]} == {"app0": 2, "app1": 1} and tags == told("apps")
    assert told("tags/daily")["data"][0]["day_bucket"] % 86400 == 0
    contexts = told("context-usage")["models"]
    assert contexts[0]["model"] == MODEL and contexts[0]["request_count"] == 3 and contexts[0]["recommended_ctx"] == 4096
    management = told("model-management")["nodes"]
    assert {node["node_id"] for node in management} == {"b1", "b2"} and any(model["total_requests"] for node in management for model in node["models"])
    assert herd.get("/dashboard/api/briefing").status == 404
    wrong = herd.get("/dashboard/api/trends?hour=3")
    assert wrong.status == 400 and "hours" in wrong.json()["error"]


def test_polling_moves_no_figure(sim_fleet):
    herd = sim_fleet.static(sim_fleet.sim())
    for _ in range(3):
        assert herd.chat(MODEL, options={"num_predict": 4}).status == 200

    def told(name):
        return herd.get(name).json()

    def figures():
        vitals = told("/dashboard/api/health")["vitals"]
        trend = told("/dashboard/api/trends?hours=1")["data"]
        queue = told("/fleet/queue")["queues"]["b1:" + MODEL]
        return {"vitals": {key: vitals[key] for key in ("avg_ttft_ms", "total_requests_24h", "overall_error_rate_pct")},
                "trend": [(row["request_count"], row["avg_latency_ms"]) for row in trend],
                "queue": {key: queue[key] for key in ("completed", "stats_samples", "avg_latency_ms", "avg_prompt_tokens")},
                "overview": told("/dashboard/api/overview")["total_requests"],
                "models": [(row["model_name"], row["total_requests"]) for row in told("/dashboard/api/models")["summary"]],
                "nodes": [(row["node_id"], row["model"], row["request_count"]) for row in told("/dashboard/api/usage")["data"]],
                "usage": [(row["name"], row["requests"]) for row in told("/herd/v1/usage?by=model&bucket=1d")["rows"]],
                "traces": [row["request_id"] for row in told("/dashboard/api/traces")["traces"]]}

    def all_three():
        now = figures()
        return now if (now["overview"], now["vitals"]["total_requests_24h"], now["queue"]["completed"]) == (3, 3, 3) else None
    before = wait_until(all_three, "three requests everywhere")
    assert len(before["traces"]) == 3 and before["usage"] == [(MODEL, 3)], before
    count = {"model": "claude-sonnet-4-5", "messages": [{"role": "user", "content": "hello"}]}
    for _ in range(20):
        assert herd.get("/api/tags").status == herd.get("/api/version").status == 200
        assert herd.post("/api/show", {"model": MODEL}).status == 200
        assert herd.post("/v1/messages/count_tokens", count).status == 200
        assert herd.post("/api/show", {"model": "nobody-has-it"}).status == 404
    assert herd.post("/herd/v1/reload", {}).status in (200, 204, 400)  # a change of herd itself
    listed = told("/herd/v1/requests?limit=1000")["requests"]
    assert sum(one["path"] == "/api/tags" for one in listed) == 20, "all of it is in herd's own list"
    assert herd.chat(MODEL, options={"num_predict": 4}).status == 200  # whatever is not told by now comes behind this one
    def all_four():
        now = figures()
        return now if (now["overview"], now["vitals"]["total_requests_24h"], now["queue"]["completed"]) == (4, 4, 4) else None
    after = wait_until(all_four, "the fourth to be counted, and nothing else")
    assert len(after["traces"]) == 4 and after["traces"][1:] == before["traces"]
    assert after["models"] == after["usage"] == [(MODEL, 4)] and after["nodes"] == [("b1", MODEL, 4)], after
    assert after["queue"]["stats_samples"] == 4 and after["vitals"]["overall_error_rate_pct"] == 0
    assert after["vitals"]["avg_ttft_ms"] > before["vitals"]["avg_ttft_ms"] / 10


def test_of_two_nodes_with_one_name_each_is_named_as_lists_show_it(sim_fleet):
    """parity.md 1.5: names are made unique with a suffix, and accepted wherever a node is named."""
    sims = [sim_fleet.sim(MODEL), sim_fleet.sim(MODEL)]
    herd = sim_fleet.herd()
    for i, sim in enumerate(sims):
        sim_fleet.node("studio", sim, "--state-dir", sim_fleet.folder / ("studio-%d" % i))
    wait_until(lambda: [node["state"] for node in herd.nodes()] == ["online"] * 2, "both to be online")
    herd.wait_models([MODEL])
    ids = sorted(node["id"] for node in herd.nodes())
    shown = {node["herd"]["id"]: node["node_id"] for node in herd.get("/fleet/status").json()["nodes"]}
    assert shown == {ids[0]: "studio", ids[1]: "studio-2"}
    wait_until(lambda: sorted(herd.get("/api/tags").json()["models"][0]["details"]["fleet_nodes"]) == ["studio", "studio-2"], "both to be listed")
    for name in ("studio-2", "studio"):  # first where nothing is loaded, then the other
        pinned = herd.post("/fleet/pin", {"model": MODEL, "node_id": name, "wait": True, "timeout_s": 30.0})
        assert pinned.status == 200 and pinned.json()["pinned_node"] == name and pinned.json()["ready"], pinned
    assert herd.get("/dashboard/api/pinned-models").json()["per_node"] == {"studio": [MODEL], "studio-2": [MODEL]}
    assert {row["fleet_node"] for row in herd.get("/api/ps").json()["models"]} == {"studio", "studio-2"}
    for name in ("studio-2", "studio"):
        unpinned = herd.post("/dashboard/api/pinned-models", {"model": MODEL, "node_id": name, "pinned": False})
        assert unpinned.status == 200 and name not in unpinned.json()["per_node"], unpinned
        assert herd.post("/api/pull", {"model": MODEL, "node_id": name, "stream": False}).status == 200
    nobody = herd.post("/fleet/pin", {"model": MODEL, "node_id": "studio-3"})
    assert nobody.status == 400 and "no node is called studio-3" in nobody.json()["error"], nobody
    assert herd.post("/api/pull", {"model": MODEL, "node_id": "studio-3", "stream": False}).status == 404
    for number, id in enumerate(ids, 1):
        assert herd.chat(MODEL, headers={"X-Herd-Node": "studio-%d" % number}).status == 200
        record = herd.get("/herd/v1/requests?limit=1").json()["requests"][0]
        assert herd.get("/herd/v1/requests/" + record["id"]).json()["decision"]["chosen_id"] == id
    used = wait_until(lambda: (lambda nodes: nodes if all(model["total_requests"] for node in nodes for model in node["models"]) else None)(
        herd.get("/dashboard/api/model-management").json()["nodes"]), "the use to be known")
    assert [(node["node_id"], node["models"][0]["unused"]) for node in used] == [("studio", False), ("studio-2", False)]
    herd.drain("studio-2")
    assert herd.node(ids[1])["state"] == "draining" and herd.node(ids[0])["state"] == "online"
    assert herd.chat(MODEL, headers={"X-Herd-Node": "studio"}).status == 503, "a plain name of two that are there is nobody's"


def test_an_operator_can_end_what_runs_and_what_waits(sim_fleet):
    sim = sim_fleet.sim(MODEL, "--decode", "50")
    herd = sim_fleet.static(sim)
    connection, answer, pieces = stream(herd.url, "/api/chat", {"model": MODEL, "messages": [{"role": "user", "content": "x"}], "options": {"num_predict": 5000}})
    next(pieces)
    waiting = in_background(herd)
    seen = wait_until(lambda: (lambda all: len(all) == 2 and all)(herd.get("/herd/v1/requests?status=in_flight").json()["requests"]), "two in flight")
    for one in sorted(seen, key=lambda one: one["phase"]):  # the one that waits first
        assert request(herd.url, "DELETE", "/herd/v1/requests/" + one["id"]).json() == {"status": "ended"}
    wait_until(lambda: not herd.get("/herd/v1/requests?status=in_flight").json()["requests"], "both to end")
    rows = herd.get("/herd/v1/requests").json()["requests"]
    ended = {one["termination"]: one for one in rows if one["api"] != "admin"}
    assert [one["method"] for one in rows if one["api"] == "admin"] == ["DELETE", "DELETE"], "who ended them is told too"
    assert set(ended) == {"PD", "PQ"} and ended["PD"]["status"] == 200 and ended["PQ"]["status"] == 503
    assert all(one["error"] == "ended by an operator" for one in ended.values())
    assert json.loads(b"".join(pieces).splitlines()[-1]) == {"error": "ended by an operator"}
    told = waiting.result(5)
    assert (told.status, told.json()) == (503, {"error": "ended by an operator"}) and told.header("x-should-retry") == "false"
    assert herd.chat(MODEL, options={"num_predict": 1}).status == 200, "its slot is free again"
    assert request(herd.url, "DELETE", "/herd/v1/requests/" + seen[0]["id"]).status == 404
    connection.close()


def test_a_node_can_be_probed_at_once(sim_fleet):
    herd, nodes, sims = sim_fleet.simulated(1)
    probed = herd.post("/herd/v1/nodes/n1/probe").json()
    assert probed["name"] == "n1" and probed["state"] == "online" and probed["latency_ms"] is not None
    assert herd.post("/herd/v1/nodes/nobody/probe").status == 404
