"""Models that stay in memory: pinned in the file and at run time, kept there by herd, refused where there is no room."""
import threading

from harness import request, wait_until
from test_health import wait_for

MODEL = "llama3.2:3b"


def loaded(sim):
    return {row["name"] for row in sim.get("/api/ps").json()["models"]}


def stays(sim, model):
    """Whether it is in memory for as long as it may be."""
    return any(row["name"] == model and row["expires_at"] > "2100" for row in sim.get("/api/ps").json()["models"])


def pins(herd):
    return herd.get("/herd/v1/pins").json()


def state(herd, model, node=None):
    return next((row for row in pins(herd)["models"] if row["model"] == model and node in (None, row["node"])), {"state": "none"})


def wait_resident(herd, model, node=None, seconds=20.0):
    return wait_until(lambda: (lambda row: row["state"] == "resident" and row)(state(herd, model, node)), "%s to be resident" % model, seconds)


def test_a_pinned_embedding_model_stays_too_and_is_asked_for_once(sim_fleet):
    path = sim_fleet.config('[[pins]]\nmodel = "nomic-embed-text"\n')
    sim = sim_fleet.sim("nomic-embed-text:latest=274MB")
    herd = sim_fleet.herd(config=path)
    sim_fleet.node("n1", sim)
    herd.wait_online(["n1"])
    wait_resident(herd, "nomic-embed-text:latest")
    assert stays(sim, "nomic-embed-text:latest")


def test_a_pin_of_the_file_is_loaded_kept_and_moves_when_its_node_goes(sim_fleet):
    path = sim_fleet.config('[[pins]]\nmodel = "LLAMA3.2:3b"\n')
    sims = [sim_fleet.sim(MODEL), sim_fleet.sim(MODEL)]
    herd = sim_fleet.herd(config=path)
    nodes = [sim_fleet.node("n%d" % i, sim) for i, sim in enumerate(sims, 1)]
    herd.wait_online(["n1", "n2"])
    first = wait_resident(herd, MODEL)["node"]
    at = 0 if first == "n1" else 1
    wait_until(lambda: stays(sims[at], MODEL), "the model to stay in memory")
    assert not loaded(sims[1 - at]), "one copy is enough"
    # A client's own keep_alive does not end it.
    assert herd.post("/api/generate", {"model": MODEL, "prompt": "x", "stream": False, "keep_alive": 1}).status == 200
    wait_until(lambda: not loaded(sims[at]) or stays(sims[at], MODEL), "that keep_alive to be over")
    wait_until(lambda: any(stays(sim, MODEL) for sim in sims), "the model to be back to stay", 30)
    # Nor does an unload.
    assert herd.post("/api/generate", {"model": MODEL, "keep_alive": 0}).status == 200
    where = wait_until(lambda: [i for i in (0, 1) if stays(sims[i], MODEL)], "the model to be back to stay", 30)[0]
    nodes[where].kill()
    wait_until(lambda: stays(sims[1 - where], MODEL), "the other node to have it in memory", 40)
    at = where
    path.write_text("")
    assert herd.post("/herd/v1/reload").status == 200
    assert pins(herd) == {"pins": [], "models": []}
    wait_until(lambda: not stays(sims[1 - at], MODEL), "the model's own time to count again")


def test_pins_at_run_time_survive_a_restart_and_guard_against_deletion(sim_fleet):
    sims = [sim_fleet.sim(MODEL + ",minilm"), sim_fleet.sim(MODEL + ",minilm")]
    herd = sim_fleet.herd()
    for i, sim in enumerate(sims, 1):
        sim_fleet.node("n%d" % i, sim)
    herd.wait_online(["n1", "n2"]).wait_models([MODEL, "minilm"])
    made = herd.post("/herd/v1/pins", {"model": "Llama3.2:3B", "node": "N2"})
    assert made.status == 201 and made.json()["node"] == "n2" and made.json()["node_id"] == herd.node("n2")["id"], made.body
    assert herd.post("/herd/v1/pins", {"model": MODEL, "node": "n2"}).status == 200  # the same again
    assert herd.post("/herd/v1/pins", {"model": "minilm", "replicas": 0}).status == 201
    wait_resident(herd, MODEL, "n2")
    for node in ("n1", "n2"):
        wait_resident(herd, "minilm:latest", node)
    assert stays(sims[1], MODEL) and not stays(sims[0], MODEL)
    for body, status, word in (({}, 400, "model"), ({"model": "a b"}, 400, "model"), ({"model": MODEL, "nod": "n1"}, 400, "did you mean"),
                               ({"model": MODEL, "node": "nobody"}, 400, "nobody"), ({"model": "gone"}, 404, "not found"),
                               ({"model": MODEL, "node": "n1", "replicas": 2}, 400, "replicas"), ("x", 400, "JSON")):
        refused = herd.post("/herd/v1/pins", body)
        assert refused.status == status and word in refused.json()["error"], (body, refused.body)
    # What is pinned is not deleted, unless that is meant.
    refused = request(herd.url, "DELETE", "/api/delete", {"model": MODEL})
    assert refused.status == 409 and "is pinned" in refused.json()["error"]
    herd.stop()
    herd = sim_fleet.herd()
    herd.wait_online(["n1", "n2"])
    rows = pins(herd)["pins"]
    assert [(row["model"], row["node"], row["replicas"], row["source"]) for row in rows] == [
        ("Llama3.2:3B", "n2", 1, "managed"), ("minilm:latest", None, "all", "managed")]
    wait_resident(herd, MODEL, "n2")
    assert herd.delete("/herd/v1/pins/%s?node=n1" % MODEL).status == 404
    assert herd.delete("/herd/v1/pins/" + MODEL).status == 200
    wait_until(lambda: [row["model"] for row in pins(herd)["pins"]] == ["minilm:latest"], "the pin to be gone")
    assert request(herd.url, "DELETE", "/api/delete", {"model": MODEL}).status == 200
    assert request(herd.url, "DELETE", "/api/delete", {"model": "minilm", "force": True}).status == 200
    wait_until(lambda: state(herd, "minilm:latest")["state"] == "absent", "the pinned model to be missing")


def test_fleet_pin_as_users_of_ollama_herd_know_it(sim_fleet):
    herd, _, sims = sim_fleet.simulated(2, MODEL)
    pinned = herd.post("/fleet/pin", {"model": MODEL, "node_id": "n1", "wait": True, "timeout_s": 30}).json()
    assert pinned["ok"] is True and pinned["ready"] is True and pinned["ready_after_ms"] >= 0, pinned
    assert pinned["pinned_node"] == "n1" and pinned["per_node"] == {"n1": [MODEL]}
    assert stays(sims[0], MODEL) and not loaded(sims[1])
    for body, status in (({}, 400), ({"model": MODEL, "wait": "yes"}, 400), ({"model": "gone"}, 404)):
        refused = herd.post("/fleet/pin", body)
        assert refused.status == status and refused.json()["ok"] is False and refused.json()["error"], refused.body
    unknown = herd.post("/fleet/pin", {"model": MODEL, "node_id": "nobody"})
    assert unknown.status == 400 and unknown.json()["known_nodes"] == ["n1", "n2"]
    assert herd.get("/dashboard/api/pinned-models").json()["per_node"] == {"n1": [MODEL]}
    more = herd.post("/dashboard/api/pinned-models", {"node_id": "n2", "model": MODEL, "pinned": True})
    assert more.status == 200 and more.json()["ok"] is True
    wait_resident(herd, MODEL, "n2")
    assert herd.post("/dashboard/api/pinned-models", {"node_id": "n2"}).status == 400
    assert herd.post("/dashboard/api/pinned-models", {"node_id": "n2", "model": MODEL, "pinned": False}).json()["per_node"] == {"n1": [MODEL]}
    gone = herd.delete("/fleet/pin/" + MODEL)
    assert gone.status == 200 and gone.json()["unpinned_from"] == ["n1"] and gone.json()["per_node"] == {}, gone.body
    assert herd.delete("/fleet/pin/" + MODEL).status == 404
    # On disk, but it does not load.
    sims[1].fault("status", status=500, error="model requires more system memory", path="/api/generate")
    broken = herd.post("/fleet/pin", {"model": MODEL, "node_id": "n2", "wait": True})
    assert broken.status == 503 or broken.json()["ready"] is True, broken.body


def test_a_pin_that_does_not_load_is_a_finding_and_one_without_room_is_refused(sim_fleet):
    sim = sim_fleet.sim(MODEL + ",qwen3:8b,minilm")
    herd = sim_fleet.herd()
    sim_fleet.node("n1", sim)
    herd.wait_online(["n1"]).wait_models([MODEL, "qwen3:8b"])
    sim.fault("status", status=500, error="model requires more system memory", path="/api/generate")
    assert herd.post("/herd/v1/pins", {"model": MODEL, "force": True}).status == 201
    found = wait_for(herd, "pin_cannot_fit", "warning", 30)["findings"][0]
    assert found["node"] == "n1" and "more system memory" in found["summary"] and found["data"]["failures"] >= 2, found
    row = state(herd, MODEL)
    assert row["state"] == "failed" and row["failures"] >= 2 and row["next_try"]
    sim.heal()
    wait_resident(herd, MODEL, seconds=60)
    wait_for(herd, "pin_cannot_fit", "ok", 20)


def test_a_set_that_cannot_be_in_memory_together_is_told_with_its_figures(sim_fleet):
    sim = sim_fleet.sim(",".join("m%d" % i for i in range(4)))
    herd = sim_fleet.herd()
    sim_fleet.node("n1", sim)
    herd.wait_online(["n1"]).wait_models(["m0", "m3"])
    for i in range(3):
        assert herd.post("/herd/v1/pins", {"model": "m%d" % i}).status == 201
        wait_resident(herd, "m%d:latest" % i)
    full = herd.post("/fleet/pin", {"model": "m3"})  # without a GPU Ollama keeps three
    assert full.status == 409 and full.json()["ok"] is False, full.body
    assert set(full.json()) >= {"node_id", "requested_gb", "already_pinned_gb", "budget_gb", "node_total_gb", "already_pinned"}
    assert full.json()["node_id"] == "n1" and set(full.json()["already_pinned"]) == {"m0:latest", "m1:latest", "m2:latest"}
    assert [row["model"] for row in pins(herd)["pins"]] == ["m0:latest", "m1:latest", "m2:latest"]


def test_many_pins_at_once_are_each_taken_or_refused(sim_fleet):
    herd, _, sims = sim_fleet.simulated(1, "a,b,c")
    answers = []
    threads = [threading.Thread(target=lambda m=model: answers.append(herd.post("/herd/v1/pins", {"model": m}).status)) for model in "aabbcc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [200, 200, 200, 201, 201, 201]
    for model in "abc":
        wait_resident(herd, model + ":latest")
    assert sims[0].state()["loads"] == 3


def test_a_pin_on_a_real_ollama_stays_and_lets_go(fleet, ollama):
    """With the embedding model too, which is loaded by an embedding."""
    herd = fleet.herd()
    fleet.node("box", ollama)
    herd.wait_online(["box"]).wait_models(["tiny", "tinyembed"])
    for model in ("tiny", "tinyembed"):
        answer = herd.post("/fleet/pin", {"model": model, "wait": True, "timeout_s": 60})
        assert answer.status == 200 and answer.json()["ready"] is True, answer.body
        wait_until(lambda: stays(herd, model + ":latest"), "%s to stay" % model)
    for model in ("tiny", "tinyembed"):
        assert herd.delete("/fleet/pin/" + model).status == 200
        wait_until(lambda: not stays(herd, model + ":latest"), "%s to be let go" % model)
