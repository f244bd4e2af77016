"""Models that are required: herd has nodes pull them, soon, within limits, and says how that goes."""
import time

from harness import request, wait_until

MODEL = "llama3.2:3b"


def states(herd):
    return {(each["node"], each["model"]): each for each in herd.get("/herd/v1/sync").json()["models"]}


def wait_for(herd, node, model, state, seconds=15.0):
    return wait_until(lambda: (lambda found: found and found["state"] == state and found)(states(herd).get((node, model))),
                      "%s on %s to be %s" % (model, node, state), seconds)


def required(sim_fleet, text):
    return sim_fleet.config(text)


def test_required_models_appear_on_every_node_soon(sim_fleet):
    sims = [sim_fleet.sim(MODEL), sim_fleet.sim(MODEL)]
    herd = sim_fleet.herd(config=required(sim_fleet, '[[required]]\nmodel = "mistral:7b"\n'))
    sim_fleet.node("n1", sims[0])
    herd.wait_online(["n1"])
    online = time.monotonic()
    wait_until(lambda: states(herd).get(("n1", "mistral:7b"), {}).get("state") in ("pulling", "present"), "the pull to start", every=0.02)
    assert time.monotonic() - online < 2.5
    wait_for(herd, "n1", "mistral:7b", "present")
    herd.wait_models(["mistral:7b"])
    sim_fleet.node("n2", sims[1])
    wait_for(herd, "n2", "mistral:7b", "present")
    assert herd.get("/herd/v1/sync").json()["required"] == [{"model": "mistral:7b", "replicas": "all", "nodes": [], "labels": []}]


def test_so_many_copies_and_no_more(sim_fleet):
    sims = [sim_fleet.sim(MODEL), sim_fleet.sim(MODEL), sim_fleet.sim(MODEL)]
    text = "".join('[[node]]\nname = "b%d"\nurl = "%s"\n' % (i, sim.url) for i, sim in enumerate(sims, 1))
    herd = sim_fleet.herd(discovery=False, config=required(sim_fleet, text + '[[required]]\nmodel = "mistral:7b"\nreplicas = 2\n'))
    herd.wait_online(["b1", "b2", "b3"])
    wait_until(lambda: [each["state"] for each in states(herd).values()] == ["present"] * 2, "two copies")
    time_is_up = time.monotonic() + 2.5
    while time.monotonic() < time_is_up:
        have = [node["name"] for node in herd.nodes() if any(model["name"] == "mistral:7b" for model in node["models"])]
        assert len(have) <= 2, have


def test_a_failure_is_told_and_retried_on_demand(sim_fleet):
    sim = sim_fleet.sim(MODEL)
    herd = sim_fleet.static(sim, config='[[required]]\nmodel = "missing-one"\n')  # no registry has it
    name = "missing-one:latest"
    failed = wait_for(herd, "b1", name, "failed")
    assert failed["failures"] == 1 and "file does not exist" in failed["reason"] and failed["next_try"]
    for failures in (2, 3):
        assert herd.post("/herd/v1/sync/retry", {"model": "missing-one"}).status == 200
        wait_until(lambda: states(herd)[("b1", name)].get("failures") == failures, "the next failure")
    check = wait_until(lambda: (lambda all: all and all[0]["severity"] == "warning" and all[0])(
        [each for each in herd.get("/herd/v1/health").json()["checks"] if each["id"] == "required_model_failed"]), "the check to warn")
    assert check["nodes"] == ["b1"] and check["models"] == [name] and "file does not exist" in check["summary"]
    assert request(sim.url, "POST", "/api/copy", {"source": MODEL, "destination": "missing-one"}).status == 200
    wait_for(herd, "b1", name, "present")
    assert herd.post("/herd/v1/sync/retry", {"nod": "b1"}).status == 400


def test_an_edit_pulls_what_is_new_and_deletes_nothing(sim_fleet):
    sim = sim_fleet.sim(MODEL)
    node = '[[node]]\nname = "b1"\nurl = "%s"\n' % sim.url
    path = required(sim_fleet, node + '[[required]]\nmodel = "mistral:7b"\n')
    herd = sim_fleet.herd(discovery=False, config=path)
    wait_for(herd, "b1", "mistral:7b", "present")
    path.write_text(node + '[[required]]\nmodel = "qwen3:8b"\n')
    assert herd.post("/herd/v1/reload").status == 200
    wait_for(herd, "b1", "qwen3:8b", "present")
    assert ("b1", "mistral:7b") not in states(herd)
    assert {model["name"] for model in herd.node("b1")["models"]} >= {"mistral:7b", "qwen3:8b"}


def test_a_frontends_nodes_get_its_models(sim_fleet):
    sims = [sim_fleet.sim(MODEL) for _ in range(3)]
    nodes = "".join('[[node]]\nname = "b%d"\nurl = "%s"\nlabels = %s\n' % (i, sim.url, '["eu"]' if i < 3 else "[]") for i, sim in enumerate(sims, 1))
    frontend = '[[frontend]]\nname = "%s"\nhostnames = ["%s.lan"]\nnodes = %s\nrequired_models = ["%s"]\n'
    path = required(sim_fleet, nodes + frontend % ("a", "a", '["b1"]', "mistral:7b") + frontend % ("none", "none", "[]", "qwen3:8b"))
    herd = sim_fleet.herd(discovery=False, config=path).wait_online(["b1", "b2", "b3"])
    wait_for(herd, "b1", "mistral:7b", "present")
    assert set(states(herd)) == {("b1", "mistral:7b")}
    assert herd.get("/herd/v1/sync").json()["required"] == [
        {"model": "mistral:7b", "replicas": "all", "nodes": ["b1"], "labels": [], "frontend": "a"}]
    assert herd.get("/herd/v1/frontends/a").json()["required_models"] == ["mistral:7b"]
    # through the admin API: for those of its nodes alone that may serve its requests, within two seconds
    asked = time.monotonic()
    made = herd.post("/herd/v1/frontends", {"id": "eu", "hostnames": ["eu.lan"], "labels_required": ["EU"], "required_models": ["qwen3:8b"]})
    assert made.status == 201 and made.json()["required_models"] == ["qwen3:8b"]
    wait_until(lambda: states(herd).get(("b2", "qwen3:8b"), {}).get("state") in ("pulling", "present"), "the pull to start", every=0.02)
    assert time.monotonic() - asked < 2.5
    for node in ("b1", "b2"):
        wait_for(herd, node, "qwen3:8b", "present")
    # a node that is made a member gets them; an unrelated edit and the end of a requirement touch nothing
    assert request(herd.url, "PATCH", "/herd/v1/frontends/a", {"nodes": ["b1", "b3"]}).status == 200
    wait_for(herd, "b3", "mistral:7b", "present")
    assert request(herd.url, "PATCH", "/herd/v1/frontends/a", {"allow_embeddings": False}).status == 200
    assert request(herd.url, "DELETE", "/herd/v1/frontends/eu").status == 204
    wait_until(lambda: set(states(herd)) == {("b1", "mistral:7b"), ("b3", "mistral:7b")}, "what is required to be told anew")
    assert {model["name"] for model in herd.node("b2")["models"]} >= {"qwen3:8b"}
    assert [model["name"] for model in herd.node("b3")["models"] if model["name"] == "qwen3:8b"] == []


def test_a_required_model_is_deleted_only_when_that_is_meant(sim_fleet):
    sims = [sim_fleet.sim(MODEL + ",mistral:7b,other:1b,third:1b") for _ in range(2)]
    nodes = "".join('[[node]]\nname = "b%d"\nurl = "%s"\n' % (i, sim.url) for i, sim in enumerate(sims, 1))
    site = '[[frontend]]\nname = "a"\nhostnames = ["*"]\nallow_model_admin = true\nrequired_models = ["mistral:7b"]\n[[required]]\nmodel = "llama3.2:3b"\n'
    path = required(sim_fleet, nodes + site)
    herd = sim_fleet.herd(discovery=False, config=path).wait_online(["b1", "b2"])
    wait_for(herd, "b2", "mistral:7b", "present")
    for model, where in (("mistral:7b", "by frontend 'a'"), ("MISTRAL:7b", "by frontend 'a'"), ("llama3.2:3b", "under [[required]]")):
        refused = request(herd.url, "DELETE", "/api/delete", {"model": model})
        assert refused.status == 409, refused.body
        assert refused.json()["error"] == "model '%s' is required %s: take it out there first, or send \"force\": true" % (model, where)
    assert states(herd)[("b1", "mistral:7b")]["state"] == "present"
    assert request(herd.url, "DELETE", "/api/delete", {"model": "other:1b"}).status == 200
    # Where it is not required it may go, and stays required where it is.
    path.write_text(path.read_text() + '[[required]]\nmodel = "third:1b"\nnodes = ["b1"]\n')
    assert herd.post("/herd/v1/reload").status == 200
    assert request(herd.url, "DELETE", "/api/delete", {"model": "third:1b", "node_id": "b1"}).status == 409
    assert request(herd.url, "DELETE", "/api/delete", {"model": "third:1b", "node_id": "b2"}).status == 200
    assert states(herd)[("b1", "third:1b")]["state"] == "present"
    # On purpose it is deleted everywhere, and is not pulled again ...
    assert request(herd.url, "DELETE", "/api/delete", {"model": "mistral:7b", "force": True}).status == 200
    wait_until(lambda: ("b1", "mistral:7b") not in states(herd) and ("b2", "mistral:7b") not in states(herd), "the requirement to be dropped")
    assert herd.post("/herd/v1/sync/retry").status == 200
    assert all("mistral:7b" not in {model["name"] for model in herd.node(name)["models"]} for name in ("b1", "b2"))
    assert not [line for line in herd.output().splitlines() if "mistral" in line and "pull" in line]
    # ... until the configuration is read anew.
    path.write_text(path.read_text() + '[[required]]\nmodel = "new:1b"\n')
    assert herd.post("/herd/v1/reload").status == 200
    wait_for(herd, "b1", "mistral:7b", "present")
