"""Benchmarks: the fleet is measured by herd itself, behind its door, and what came of it is kept."""
import signal

import pytest

from harness import wait_until

API = "/dashboard/api/benchmarks"
MODEL = "llama3.2:3b"
BOTH = MODEL + ",nomic-embed-text=300MB"
OVER = ("complete", "error", "cancelled")


def start(herd, **wish):
    return herd.post(API + "/start", wish)


def progress(herd):
    return herd.get(API + "/progress").json()


def finished(herd, seconds=60):
    """The progress when nothing runs any more."""
    return wait_until(lambda: (lambda now: now["status"] in OVER and now)(progress(herd)), "the benchmark to end", seconds)


def runs(herd):
    return herd.get(API).json()["data"]


def in_flight(herd):
    return herd.status()["requests"]["in_flight"]


def test_two_nodes_are_measured_and_the_run_outlives_a_kill(sim_fleet):
    herd, _, _ = sim_fleet.simulated(2, BOTH, "--decode", "400", "--num-parallel", "4")
    assert progress(herd)["status"] == "idle" and runs(herd) == []
    for node in ("n1", "n2"):
        assert herd.chat(MODEL, headers=[("X-Herd-Node", node)]).status == 200
    answer = start(herd, mode="default", duration=5, model_types=["llm", "embed"])
    assert answer.status == 200, answer
    run_id = answer.json()["run_id"]
    assert answer.json() == {"status": "started", "run_id": run_id, "mode": "default", "duration": 5, "model_types": ["llm", "embed"]}
    busy = start(herd)
    assert busy.status == 409 and busy.json()["error"] == "a benchmark is running" and busy.json()["progress"]["run_id"] == run_id
    wait_until(lambda: progress(herd)["requests_completed"] > 0, "the first answer", 30)
    now = progress(herd)
    assert now["status"] == "running" and now["duration"] == 5 and now["models"] == [MODEL, "nomic-embed-text:latest"], now
    assert finished(herd)["status"] == "complete"

    run = herd.get(API + "/" + run_id).json()
    assert runs(herd) == [run] and run["status"] == "complete" and run["mode"] == "default"
    assert run["total_failures"] == 0 and run["errors"] == [] and run["skipped"] == []
    assert run["duration_s"] >= 5 and run["policy"] == "cost" and run["version"] == herd.status()["version"]
    models = {row["model"]: row for row in run["per_model_results"]}
    assert models[MODEL]["model_type"] == "llm" and models["nomic-embed-text:latest"]["model_type"] == "embed"
    assert sum(row["requests"] for row in models.values()) == run["total_requests"] > 4
    assert models[MODEL]["tok_s"] > 0 and run["tokens_per_sec"] > 0 and run["total_prompt_tokens"] > 0
    assert {row["node_id"] for row in run["per_node_results"]} == {"n1", "n2"}
    assert 99 < sum(row["pct"] for row in run["per_node_results"]) < 101
    assert sum(row["tokens"] for row in run["per_node_results"]) == run["total_completion_tokens"]
    for name in ("latency", "ttft", "inter_token"):
        assert 0 < run[name + "_p50_ms"] <= run[name + "_p95_ms"] <= run[name + "_p99_ms"], run
    assert {row["node_id"] for row in run["peak_utilization"]} == {"n1", "n2"}
    assert max(row["active_peak"] for row in run["peak_utilization"]) >= 1
    assert {node["node_id"] for node in run["fleet"]["nodes"]} == {"n1", "n2"}
    assert MODEL in {model["model"] for model in run["fleet"]["models"]}

    def measured():
        records = herd.get("/herd/v1/requests?tag=benchmark&limit=1000").json()["requests"]
        return len(records) == min(run["total_requests"] + 2, 1000) and records  # and one to warm each model up
    records = wait_until(measured, "the records of all of them")
    assert {record["path"] for record in records} == {"/api/chat", "/api/embed"}
    assert herd.get(API + "/nothing").status == 404
    herd.kill()
    again = sim_fleet.herd()
    assert runs(again) == [run] and again.get(API + "/" + run_id).json() == run
    assert progress(again)["status"] == "idle"


def test_cancelling_ends_every_request_at_once(sim_fleet):
    herd, _, sims = sim_fleet.simulated(2, MODEL, "--decode", "1", "--num-parallel", "2")
    assert herd.post(API + "/cancel").json() == {"status": "not_running"}
    assert start(herd, duration=3600).status == 200
    wait_until(lambda: in_flight(herd) > 0, "the warm-up", 10)
    assert herd.post(API + "/cancel").json() == {"status": "cancelled"}
    wait_until(lambda: in_flight(herd) == 0, "its requests to end", 5)
    assert progress(herd)["status"] == "cancelled" and runs(herd) == []
    for sim in sims:
        wait_until(lambda: sim.state()["active"] == 0, "the node to stop", 5)
    assert start(herd, duration=5).status == 200  # and there may be another
    assert herd.post(API + "/cancel").json() == {"status": "cancelled"}
    assert herd.post(API + "/cancel").json() == {"status": "not_running"}


def test_cancelling_under_load_keeps_what_was_measured(sim_fleet):
    herd, _, _ = sim_fleet.simulated(1, MODEL, "--decode", "400", "--num-parallel", "4")
    assert start(herd, duration=3600).status == 200
    wait_until(lambda: progress(herd)["requests_completed"] > 3, "some answers", 30)
    assert herd.post(API + "/cancel").json() == {"status": "cancelled"}
    [run] = runs(herd)
    assert run["status"] == "cancelled" and run["total_requests"] > 3 and run["total_failures"] == 0
    wait_until(lambda: in_flight(herd) == 0, "its requests to end", 5)


def test_a_herd_that_is_stopped_does_not_wait_for_its_benchmark(sim_fleet):
    herd, _, _ = sim_fleet.simulated(1, MODEL, "--decode", "1")
    assert start(herd, duration=3600).status == 200
    wait_until(lambda: in_flight(herd) > 0, "the warm-up", 10)
    herd.signal(signal.SIGTERM)
    herd.wait(8)  # shutdown_grace is longer
    assert not herd.alive()


@pytest.mark.parametrize("body, why", [
    (b"{", "a JSON object is needed, or nothing"),
    (b'{"duration":1}', '"duration" is a whole number of seconds from 5 to 3600'),
    (b'{"mode":"fast"}', '"mode" is "default" or "smart"'),
    (b'{"model_types":["speech"]}', '"model_types" knows "llm", "vision", "embed" and "image", not "speech"'),
    (b'{"models":["gone:1b"]}', 'no node has \'gone:1b\'; "mode":"smart" with "allow_pull":true pulls what is named'),
    (b'{"model_types":["image"]}', "no node of this LAN has a model that can be measured as image"),
])
def test_what_cannot_be_measured_is_told_in_one_sentence(sim_fleet, body, why):
    herd, _, _ = sim_fleet.simulated(1, MODEL)
    answer = herd.post(API + "/start", body)
    assert (answer.status, answer.json()) == (400, {"error": why})
    assert progress(herd)["status"] == "idle"
    assert herd.get(API + "?limit=0").status == 400 and herd.post(API + "/other").status == 405
    assert herd.post(API).status == 405 and herd.delete(API + "/start").status == 405


def test_where_keys_are_required_it_needs_an_admins_and_asks_without_one(sim_fleet):
    sim = sim_fleet.sim(MODEL, "--decode", "400", "--num-parallel", "4")
    rules = '[access]\nrequire_key = true\n[[frontend]]\nname = "none"\nhostnames = ["*"]\nallow_completions = false\n'
    herd = sim_fleet.herd(discovery=False, config=sim_fleet.config(rules + '[[node]]\nname = "b1"\nurl = "%s"\n' % sim.url))
    assert start(herd, duration=5).status == 401
    secret = herd.add_key("root", scope="admin")
    herd.wait_online(["b1"])
    assert herd.chat(MODEL).status == 403
    assert start(herd, duration=5).status == 200
    assert finished(herd)["status"] == "complete"
    [run] = runs(herd)
    assert run["total_requests"] > 0 and run["total_failures"] == 0
    records = herd.get("/herd/v1/requests?tag=benchmark").json()["requests"]
    assert {(record.get("key"), record["status"]) for record in records} == {(None, 200)}
    assert secret not in herd.output()


def test_smart_pulls_what_is_named_and_nothing_else(sim_fleet):
    herd, _, [sim] = sim_fleet.simulated(1, MODEL, "--decode", "400")
    answer = start(herd, mode="smart", duration=5, models=["mistral:7b"], allow_pull=True)
    assert answer.status == 200, answer
    assert finished(herd)["status"] == "complete"
    [run] = runs(herd)
    assert run["models_pulled"] == ["mistral:7b"] and [row["model"] for row in run["per_model_results"]] == ["mistral:7b"]
    assert [seen["model"] for seen in sim.state()["seen"] if seen["path"] == "/api/pull"] == ["mistral:7b"]
    assert start(herd, mode="smart", duration=5, models=["missing-one"], allow_pull=True).status == 200
    now = finished(herd)
    assert now["status"] == "error" and now["error"].startswith("'missing-one' was not pulled: "), now
    assert len(runs(herd)) == 1


def test_a_node_that_fails_is_counted_and_its_words_are_told(sim_fleet):
    sim = sim_fleet.sim(MODEL, "--decode", "400")
    herd = sim_fleet.static(sim)
    sim.fault("status", status=400, path="/api/chat")
    assert start(herd, duration=5).status == 200
    now = finished(herd)
    assert now["status"] == "error" and now["error"].startswith("the first request to %s failed: " % MODEL), now
    assert runs(herd) == []
