"""[models]: what herd writes into requests for a model that do not say it, or say less than the model is loaded with."""
import json
import signal

import pytest

from harness import request, wait_until
from harness.ollama import RealOllama
from harness.scripted import ScriptedOllama
from test_pins import wait_resident

MODEL = "llama3.2:3b"
STARTED = "llama runner started"


def ask(herd, model=MODEL, **body):
    answer = herd.post("/api/chat", {"model": model, "messages": [{"role": "user", "content": "hi"}], "stream": False, **body})
    assert answer.status == 200, answer
    return answer


def contexts(ollama):
    return {row["name"]: row["context_length"] for row in request(ollama.url, path="/api/ps").json()["models"]}


def test_a_smaller_context_loads_nothing_anew_where_that_is_protected(sim_fleet):
    sims = [sim_fleet.sim(MODEL), sim_fleet.sim(MODEL)]
    herd = sim_fleet.static(*sims, config='models.num_ctx = "protect"\n')
    first = ask(herd, options={"num_ctx": 16384}).header("X-Herd-Node")
    assert [row["context_length"] for row in herd.get("/api/ps").json()["models"]] == [16384]
    for context in (2048, 4096, 16384, 1000):
        answer = ask(herd, options={"num_ctx": context})
        assert answer.header("X-Herd-Node") == first
        record = herd.get("/herd/v1/requests/" + answer.header("X-Herd-Request-Id")).json()
        assert (record["num_ctx_asked"], record["num_ctx_used"]) == (context, 16384)
    assert sum(sim.state()["loads"] for sim in sims) == 1
    assert "\nherd_reloads_avoided_total 3\n" in herd.get("/metrics").body.decode()
    ask(herd, options={"num_ctx": 32768})  # more is more
    assert sum(sim.state()["loads"] for sim in sims) == 2


def test_without_it_a_smaller_context_goes_through_as_it_is(sim_fleet):
    sim = sim_fleet.sim(MODEL)
    herd = sim_fleet.static(sim)
    for context in (16384, 2048):
        ask(herd, options={"num_ctx": context})
        assert contexts(sim)[MODEL] == context
    assert sim.state()["loads"] == 2


def test_a_model_has_its_own_context_and_time_and_a_reload_changes_them(sim_fleet):
    backend = ScriptedOllama(models=("m:latest", "other:latest"))
    path = sim_fleet.config('[[node]]\nurl = "%s"\n[models]\nkeep_alive = "20m"\nkeep_alive_max = "1h"\n[models.M]\nnum_ctx = 8192\n' % backend.url)
    with backend:
        herd = sim_fleet.herd(discovery=False, config=path)
        herd.wait_models(["m", "other"])

        def sent(model, route="/api/chat", **more):
            herd.post(route, {"model": model, "messages": [{"role": "user", "content": "x"}], "stream": False, **more})
            body = backend.seen[-1].body
            return {key: value for key, value in json.loads(body).items() if key in ("options", "keep_alive")}
        assert sent("m") == {"options": {"num_ctx": 8192}, "keep_alive": 1200}
        assert sent("m", options={"seed": 1}, keep_alive="5m") == {"options": {"seed": 1, "num_ctx": 8192}, "keep_alive": "5m"}
        assert sent("m", options={"num_ctx": 512}, keep_alive=-1) == {"options": {"num_ctx": 512}, "keep_alive": 3600}
        assert sent("other") == {"keep_alive": 1200}
        assert sent("m", "/v1/chat/completions") == {}
        path.write_text(path.read_text().replace("8192", "1024").replace('keep_alive = "20m"\n', ""))
        herd.signal(signal.SIGHUP)
        wait_until(lambda: sent("m") == {"options": {"num_ctx": 1024}}, "the new rules")
        path.write_text(path.read_text().replace("1024", "1"))
        assert herd.post("/herd/v1/reload").status == 400
        assert sent("m") == {"options": {"num_ctx": 1024}}


@pytest.mark.real
def test_a_real_ollama_keeps_its_model_loaded_at_a_pin_and_at_smaller_contexts(sim_fleet, ollama_binary, models_folder, tmp_path):
    """To Ollama a num_ctx equals another one only if the numbers do: a "stay" without it would load the model anew."""
    ollama = RealOllama(tmp_path / "ollama", ollama_binary, {"tiny": models_folder["tiny"]}, env={"OLLAMA_KEEP_ALIVE": "5m"})
    try:
        herd = sim_fleet.herd(config=sim_fleet.config('models.num_ctx = "protect"\n[models.tiny]\nnum_ctx = 768\n[[pins]]\nmodel = "tiny"\n'))
        sim_fleet.node("box", ollama)
        wait_resident(herd, "tiny:latest")
        assert contexts(ollama) == {"tiny:latest": 768}
        before = ollama.process.output().count(STARTED)
        assert before >= 1
        for options in ({"num_ctx": 512}, {"num_ctx": 768}, {}):
            ask(herd, "tiny", options=options)
        assert ollama.process.output().count(STARTED) == before
        # Another context, on purpose, and for an hour, which is less than pinned.
        ask(herd, "tiny", options={"num_ctx": 1024}, keep_alive="1h")
        wait_until(lambda: request(ollama.url, path="/api/ps").json()["models"][0]["expires_at"] > "2100", "herd to say that it stays", 60)
        assert contexts(ollama) == {"tiny:latest": 1024}
        assert ollama.process.output().count(STARTED) == before + 1
    finally:
        ollama.stop()
