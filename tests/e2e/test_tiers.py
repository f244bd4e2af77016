"""`tier` and `models_allow` of a node: a fast PC when it is on, a small box otherwise; and what each of them may serve."""
import signal
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor

from harness import request, wait_until
from harness.programs import program
from harness.scripted import ScriptedOllama

MODEL = "llama3.2:3b"
DONE = {"model": "m", "message": {"role": "assistant", "content": "x"}, "done": True}


def cli(herd, *words):
    done = subprocess.run([str(program("herd")), *words, "--url", herd.url], capture_output=True, text=True, timeout=20)
    return done.returncode, done.stdout + done.stderr


def where(herd, model=MODEL, **headers):
    answer = herd.chat(model, headers=[(name.replace("_", "-"), value) for name, value in headers.items()])
    assert answer.status == 200, answer
    return answer.header("X-Herd-Node")


def why_not(herd, node, model=MODEL, **headers):
    told = request(herd.url, "POST", "/herd/v1/route", {"model": model, "messages": []}, [(name.replace("_", "-"), value) for name, value in headers.items()]).json()
    return next(each["reason"] for each in told["candidates"] if each["node"] == node)


class Slow(ScriptedOllama):
    """Answers once it is let through."""

    def __init__(self, models=("m:latest",), **more):
        self.through = threading.Event()
        super().__init__(models, self.answer, **more)

    def answer(self, exchange):
        self.through.wait(30)
        exchange.answer(200, DONE)


def test_the_fast_pc_serves_while_it_is_on_and_the_small_box_otherwise(sim_fleet):
    pc, small = sim_fleet.sim(MODEL), sim_fleet.sim(MODEL + ",mistral:7b")
    herd = sim_fleet.herd(config=sim_fleet.config('[[node]]\nname = "small"\ntier = 1\n'))
    node = sim_fleet.node("pc", pc)
    sim_fleet.node("small", small)
    herd.wait_online(["pc", "small"]).wait_models([MODEL, "mistral:7b"])
    assert {where(herd) for _ in range(10)} == {"pc"}
    assert why_not(herd, "small") == "other_tier" and herd.node("small")["settings"]["tier"] == 1
    code, said = cli(herd, "route", MODEL)
    assert code == 0 and "another tier is preferred" in said, said
    assert where(herd, "mistral:7b") == "small" and where(herd, X_Herd_Node="small") == "small"
    node.kill()
    answers = [herd.chat(MODEL) for _ in range(5)]  # whoever meets it while it dies goes on at the next tier
    assert {answer.status for answer in answers} == {200}
    wait_until(lambda: where(herd) == "small", "the small box to take over")
    sim_fleet.node("pc", pc)
    wait_until(lambda: where(herd) == "pc", "the PC to take its work back", 20)
    assert {where(herd) for _ in range(5)} == {"pc"}


def test_who_waits_for_a_tier_that_goes_is_served_by_the_next(fleet):
    with Slow() as pc, ScriptedOllama(script=lambda exchange: exchange.answer(200, DONE)) as small, ThreadPoolExecutor(2) as pool:
        herd = fleet.static(pc, small, config="")
        assert herd.change_node("b2", {"tier": 1}).status == 200
        first = pool.submit(herd.chat, "m")
        wait_until(lambda: pc.open_requests == 1, "the first to run")
        second = pool.submit(herd.chat, "m")
        wait_until(lambda: herd.status()["requests"]["queued"] == 1, "the second to wait although the other node is idle")
        assert herd.drain("b1").status in (200, 202, 204)
        assert second.result(20).header("X-Herd-Node") == "b2"
        pc.through.set()
        assert first.result(20).header("X-Herd-Node") == "b1"
        herd.resume("b1")
        wait_until(lambda: where(herd, "m") == "b1", "the lower tier to be back")


def test_a_failed_attempt_goes_on_at_the_next_tier(sim_fleet):
    pc, small = sim_fleet.sim(MODEL), sim_fleet.sim(MODEL)
    herd = sim_fleet.static(pc, small)
    assert herd.change_node("b2", {"tier": 5}).status == 200
    assert where(herd) == "b1"  # a model that cannot even be loaded is held back at once
    pc.fault("status", count=1, status=500)
    answer = herd.chat(MODEL)
    assert answer.status == 200 and answer.header("X-Herd-Node") == "b2", answer
    assert where(herd) == "b1"


def test_both_are_set_by_file_post_and_patch_shown_and_kept(fleet):
    with ScriptedOllama(["m:latest", "n:latest"]) as one, ScriptedOllama(["m:latest", "n:latest"]) as two:
        text = '[[node]]\nname = "b1"\nurl = "%s"\n' % one.url
        path = fleet.config(text + 'tier = 1\nmodels_allow = ["m"]\n')
        checked = subprocess.run([str(program("herd")), "--config", str(path), "--check-config"], capture_output=True, text=True, timeout=20)
        assert checked.returncode == 0, checked.stderr
        herd = fleet.herd(discovery=False, config=path).wait_online(["b1"])
        added = herd.post("/herd/v1/nodes", {"url": two.url, "name": "b2", "tier": 2, "models_allow": ["M", "hf.co/*"]})
        assert added.status == 201 and added.json()["settings"]["tier"] == 2, added
        for bad, word in (({"tier": 10}, "tier"), ({"models_allow": ["a*b"]}, "models_allow"), ({"models_alow": []}, "models_alow")):
            refused = herd.change_node("b2", bad)
            assert refused.status == 400 and word in refused.json()["error"], refused
            refused = herd.post("/herd/v1/nodes", {"url": "http://127.0.0.1:9", "name": "b3", **bad})
            assert refused.status == 400 and word in refused.json()["error"] and herd.node("b3") is None, refused
        assert herd.node("b2")["settings"]["models_allow"] == ["M", "hf.co/*"]
        code, said = cli(herd, "nodes", "--json")
        assert code == 0 and '"models_allow":["M","hf.co/*"]' in said.replace(" ", "").replace("\n", ""), said
        assert where(herd, "m") == "b1" and herd.chat("n").status == 404
        path.write_text(text + "tier = 3\n")
        herd.signal(signal.SIGHUP)
        wait_until(lambda: where(herd, "m") == "b2", "SIGHUP to apply the tier of the file")
        assert where(herd, "n") == "b1"
        for wrong, words in (("tier = -1\n", ("line 4", "tier")), ('models_allow = ["*x"]\n', ("line 4", "models_allow"))):
            path.write_text(text + wrong)
            refused = herd.post("/herd/v1/reload")
            assert refused.status == 400 and all(word in refused.json()["error"] for word in words), refused
        path.write_text(text)
        herd.stop()
        again = fleet.herd(discovery=False, config=path).wait_online(["b1", "b2"])
        assert again.node("b2")["settings"]["tier"] == 2 and where(again, "m") == "b1"
        assert again.change_node("b2", {"tier": None, "models_allow": None}).json()["models_allow"] == []


def test_what_a_node_may_not_serve_is_not_offered_on_its_account(sim_fleet):
    wide, narrow = sim_fleet.sim(MODEL), sim_fleet.sim(MODEL + ",mistral:7b,phi3:mini")
    herd = sim_fleet.herd(config=sim_fleet.config(
        '[models]\nauto_pull = true\nauto_pull_allow = ["phi3*"]\n[[node]]\nname = "narrow"\nmodels_allow = ["Mistral*"]\n'))
    sim_fleet.node("wide", wide)
    sim_fleet.node("narrow", narrow)
    herd.wait_online(["wide", "narrow"]).wait_models([MODEL, "mistral:7b"])
    listed = {row["name"]: row for row in herd.get("/api/tags").json()["models"]}
    assert set(listed) == {MODEL, "mistral:7b"} and listed[MODEL]["herd"]["nodes"] == ["wide"]
    assert {row["id"] for row in herd.get("/v1/models").json()["data"]} == {MODEL, "mistral:7b"}
    told = herd.get("/herd/v1/models").json()
    assert sorted((each["name"], each["node"]) for each in told["not_allowed"]) == [(MODEL, "narrow"), ("phi3:mini", "narrow")]
    assert {each["name"] for each in herd.node("narrow")["models"] if each.get("allowed", True)} == {"mistral:7b"}
    assert {where(herd) for _ in range(5)} == {"wide"} and where(herd, "MISTRAL:7b") == "narrow"
    assert why_not(herd, "narrow") == "model_not_allowed"
    code, said = cli(herd, "route", MODEL)
    assert code == 0 and "may not serve this model (models_allow)" in said, said
    named = herd.chat(MODEL, headers=[("X-Herd-Node", "narrow")])
    assert named.status == 404 and "may not serve it (models_allow)" in named.json()["error"], named
    assert herd.post("/api/show", {"model": "phi3:mini"}).status == 404
    # what is to be there, too: pulls, pins
    pulled = herd.post("/api/pull", {"model": "gemma3:4b", "stream": False})
    assert pulled.status == 200 and [seen["model"] for seen in wide.state()["seen"] if seen["path"] == "/api/pull"] == ["gemma3:4b"], pulled
    refused = herd.post("/api/pull", {"model": "gemma3:4b", "stream": False}, headers=[("X-Herd-Node", "narrow")])
    assert refused.status == 403 and "models_allow" in refused.json()["error"], refused
    refused = herd.post("/herd/v1/pins", {"model": MODEL, "node": "narrow"})
    assert refused.status == 404 and "narrow may not serve it (models_allow)" in refused.json()["error"], refused
    # a model that is only where it may not be served is brought to a node that may
    assert where(herd, "phi3:mini") == "wide"
    assert not [seen for seen in narrow.state()["seen"] if seen["path"] == "/api/pull"]
