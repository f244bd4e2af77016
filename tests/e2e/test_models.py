"""`herd pull` and `herd rm`: models on one node, on all of them, and what is said when it fails."""
import json

from test_lifecycle import run

MODEL = "qwen3:0.6b"


def test_pull_and_rm_on_every_node_and_on_one(sim_fleet):
    herd, _, sims = sim_fleet.simulated(3)

    def verb(*words):
        return run("herd", *words, "--url", herd.url, seconds=60)

    def having():
        return [any(m["name"] == MODEL for m in sim.get("/api/tags").json()["models"]) for sim in sims]

    status, out, err = verb("pull", MODEL, "--all")
    assert status == 0 and out.count(": pulled\n") == len(sims) and not err, (status, out, err)
    assert all(having())
    status, out, err = verb("rm", MODEL, "--node", "n1")
    assert status == 0 and having() == [False] + [True] * (len(sims) - 1), (status, out, err, having())
    status, out, err = verb("rm", MODEL)
    assert status == 0 and not any(having()), (status, out, err)
    status, out, err = verb("rm", MODEL)
    assert status == 1 and len(err.splitlines()) == 1 and MODEL in err, (status, out, err)
    status, out, err = verb("pull", MODEL, "--node", "n2")
    assert status == 0 and out.endswith("success\n") and having()[1] and not having()[0], (status, out, err)
    status, out, err = verb("pull", MODEL, "--node", "nowhere")
    assert status == 1 and len(err.splitlines()) == 1, (status, out, err)
    assert verb("pull", MODEL, "--node", "n1", "--all")[0] == 2
    status, out, err = verb("pull", MODEL, "--all", "--json")
    assert status == 0 and all(json.loads(line)["ok"] for line in out.splitlines()), (status, out, err)
