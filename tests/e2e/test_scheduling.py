"""Where requests run and how long they wait: speeds, caches, options, fairness, limits, fallbacks; and how herd explains it."""
import json
import subprocess
import threading
import time

import pytest

from harness import report, request, wait_until
from harness.ollama import RealOllama
from harness.programs import program, stream
from harness.wire import Connection

MODEL = "llama3.2:3b"


def ask(herd, text="hello", model=MODEL, headers=(), tokens=20, source=None, timeout=60.0, **more):
    body = {"model": model, "messages": [{"role": "user", "content": text}], "stream": False, **more}
    body["options"] = {"num_predict": tokens, **more.get("options", {})}
    with Connection(herd.url, timeout, source) as connection:
        return connection.request("POST", "/api/chat", body, headers)


def where(answer):
    assert answer.status == 200, answer
    return answer.header("X-Herd-Node")


def warm(herd, *names, **more):
    """One request on each node, so that the model is in memory there and its speed is known."""
    for name in names:
        assert where(ask(herd, "warm up " + name, headers={"X-Herd-Node": name}, tokens=40, **more)) == name


def record(herd, answer):
    path = "/herd/v1/requests/" + answer.header("X-Herd-Request-Id")
    return wait_until(lambda: (lambda got: got.json() if got.status == 200 else None)(herd.get(path)), "the record of a request", 5, every=0.05)


def later(*jobs):
    """Runs every job on a thread of its own; a list that fills with their answers, and the threads."""
    answers = [None] * len(jobs)

    def run(i, job):
        answers[i] = job()
    threads = [threading.Thread(target=run, args=pair, daemon=True) for pair in enumerate(jobs)]
    for thread in threads:
        thread.start()
    return answers, threads


# ---------------------------------------------------------------------------------------------------- speeds, caches, options

def test_the_fast_node_is_preferred_once_its_speed_is_known(sim_fleet):
    slow = sim_fleet.sim(MODEL, "--decode", 40, "--prefill", 400)
    fast = sim_fleet.sim(MODEL, "--decode", 400, "--prefill", 4000)
    herd = sim_fleet.static(slow, fast)
    warm(herd, "b1", "b2")
    assert [where(ask(herd, "question %d" % i)) for i in range(6)].count("b2") >= 5
    rates = {name: herd.node(name)["rates"][MODEL] for name in ("b1", "b2")}
    assert rates["b1"]["measured"] and rates["b2"]["measured"]
    assert rates["b2"]["decode_tokens_per_s"] > 3 * rates["b1"]["decode_tokens_per_s"] > 0


def test_a_node_whose_gpu_is_lost_keeps_little_of_the_work_and_gets_it_back(sim_fleet):
    """Why gpu_lost takes no node out of rotation (docs/adr/0017): its speed, measured, does what that would."""
    sims = [sim_fleet.sim(MODEL, "--decode", 400, "--prefill", 4000) for _ in range(2)]
    herd = sim_fleet.static(*sims)
    warm(herd, "b1", "b2")
    before = [where(ask(herd, "question %d" % i)) for i in range(10)]
    lost = max(("b1", "b2"), key=before.count)
    other, sim = ("b2", sims[0]) if lost == "b1" else ("b1", sims[1])
    sim.fault("slow", factor=12)  # a CPU in place of the GPU
    spent = [where(ask(herd, "another question %d" % i)) for i in range(40)].count(lost)
    report("a node that became 12 times slower took %d of 40 requests that another could take (%d of 10 before)" % (spent, before.count(lost)))
    assert 1 <= spent <= 6
    herd.drain(other)
    assert where(ask(herd, "nobody else has it")) == lost, "it is better than nothing"
    herd.resume(other)
    sim.heal()

    def both():
        answers, threads = later(*[lambda: ask(herd, "at the same time", tokens=40)] * 4)
        for thread in threads:
            thread.join()
        return {where(answer) for answer in answers} == {"b1", "b2"}
    wait_until(both, "work for both", 30)
    wait_until(lambda: both() and herd.node(lost)["rates"][MODEL]["decode_tokens_per_s"] > 200, "its speed to be believed again", 30)


def test_a_conversation_returns_to_the_node_that_has_read_it(sim_fleet):
    sims = [sim_fleet.sim(MODEL, "--prefill", 1500, "--decode", 200) for _ in range(3)]
    herd = sim_fleet.static(*sims)
    warm(herd, "b1", "b2", "b3")
    messages = [{"role": "system", "content": "You are a pirate. " * 400}]
    nodes, cached = [], []
    for turn in range(4):
        messages.append({"role": "user", "content": "question number %d" % turn})
        answer = herd.chat(MODEL, timeout=60, messages=messages, options={"num_predict": 10})
        nodes.append(where(answer))
        messages.append(answer.json()["message"])
        cached.append(record(herd, answer).get("cached_tokens", 0))
    assert len(set(nodes)) == 1, nodes
    assert cached[-1] > 500, cached
    decision = herd.post("/herd/v1/route", {"model": MODEL, "messages": messages}).json()
    assert decision["chosen"] == nodes[0]
    assert {c["node"]: c["cached_tokens"] for c in decision["candidates"]}[nodes[0]] > 500


def test_clients_with_different_num_ctx_do_not_make_nodes_reload(sim_fleet):
    sims = [sim_fleet.sim(MODEL, "--load-rate", "4GB") for _ in range(2)]
    herd = sim_fleet.static(*sims)
    warm(herd, "b1", "b2")
    for i in range(8):
        for context in (4096, 8192):
            where(ask(herd, "round %d" % i, options={"num_ctx": context}, tokens=5))
    loads = sum(sim.state()["loads"] for sim in sims)
    assert loads <= 6, [sim.state() for sim in sims]


def test_num_ctx_buckets_make_one_class_of_many(sim_fleet):
    sim = sim_fleet.sim(MODEL)
    herd = sim_fleet.static(sim, config="[scheduler]\nnum_ctx_buckets = [8192, 32768]\n")
    for context in (5000, 5001, 6000, 8192):
        where(ask(herd, options={"num_ctx": context}, tokens=5))
    assert sim.state()["loads"] == 1, sim.state()
    assert request(sim.url, path="/api/ps").json()["models"][0]["context_length"] == 8192


def test_what_was_learned_is_there_after_a_restart(sim_fleet):
    sim = sim_fleet.sim(MODEL, "--decode", 200)
    config = "[scheduler]\nretries = 1\n"
    herd = sim_fleet.static(sim, config=config)
    for i in range(6):  # of one answer a guess is still part
        where(ask(herd, "question %d" % i, tokens=120))
    before = herd.node("b1")["rates"][MODEL]
    assert before["measured"]
    herd.stop()
    saved = sim_fleet.folder / "herd" / "rates.json"
    assert saved.stat().st_mode & 0o777 == 0o600
    again = sim_fleet.static(sim, config=config)
    after = wait_until(lambda: again.node("b1")["rates"][MODEL], "rates after the restart", 5)
    assert after["measured"] and abs(after["decode_tokens_per_s"] - before["decode_tokens_per_s"]) < 0.2 * before["decode_tokens_per_s"]


@pytest.mark.parametrize("path,more", [
    ("/api/chat", {}), ("/api/generate", {"prompt": "tell me"}),
    ("/v1/chat/completions", {"stream_options": {"include_usage": True}}), ("/v1/messages", {"max_tokens": 30})])
@pytest.mark.parametrize("streams", [True, False], ids=["stream", "whole"])
def test_every_answer_teaches(sim_fleet, path, more, streams):
    """Tokens reach the record (and with them the scheduler) from every API."""
    herd = sim_fleet.static(sim_fleet.sim(MODEL))
    body = {"model": MODEL, "messages": [{"role": "user", "content": "tell me"}], "stream": streams, "max_tokens": 30,
            "options": {"num_predict": 30}, **more}
    answer = request(herd.url, "POST", path, body)
    assert answer.status == 200 and answer.ended, answer
    told = record(herd, answer)
    assert told["prompt_tokens"] > 0 and told["output_tokens"] > 0, told


# ---------------------------------------------------------------------------------------------------- queues

def test_a_flooding_client_does_not_starve_another(sim_fleet):
    sim = sim_fleet.sim(MODEL, "--decode", 100)
    herd = sim_fleet.static(sim)
    warm(herd, "b1")
    flood, threads = later(*[lambda i=i: ask(herd, "flood %d" % i, source="127.0.0.2", tokens=40) for i in range(14)])
    wait_until(lambda: herd.status()["requests"]["queued"] >= 10, "the flood to wait", 10)
    began = time.monotonic()
    assert ask(herd, "me", source="127.0.0.3", tokens=40).status == 200
    waited = time.monotonic() - began
    still = sum(answer is None for answer in flood)
    assert still >= 7, "%d of the flood were served before the other client (%.1f s)" % (14 - still, waited)
    for thread in threads:
        thread.join(60)
    assert all(answer.status == 200 for answer in flood)


def test_a_node_that_fails_fast_attracts_no_traffic(sim_fleet):
    bad, good = sim_fleet.sim(MODEL, "--decode", 300), sim_fleet.sim(MODEL, "--decode", 60)
    herd = sim_fleet.static(bad, good)
    warm(herd, "b1", "b2")
    bad.fault("status", status=500, error="llama-server process has terminated: exit status 2", path="/api/chat")
    tries = 0
    for i in range(20):
        answer = ask(herd, "try %d" % i)
        assert where(answer) == "b2"
        tries += int(answer.header("X-Herd-Retries"))
    assert 1 <= tries <= 6, "%d of 20 requests went to the faster, broken node first" % tries


def test_a_deadline_that_passes_in_the_queue_is_told_with_a_time_to_come_back(sim_fleet):
    herd = sim_fleet.static(sim_fleet.sim(MODEL, "--decode", 50))
    warm(herd, "b1")
    connection, answer, pieces = stream(herd.url, "/api/chat", {"model": MODEL, "messages": [{"role": "user", "content": "x"}],
                                                               "options": {"num_predict": 2000}})
    late = ask(herd, headers={"X-Herd-Deadline": "0.5"})
    assert late.status == 504, late
    assert 1 <= int(late.header("Retry-After")) <= 60
    connection.close()


def test_a_full_queue_is_429_with_a_time_to_come_back(sim_fleet):
    herd = sim_fleet.static(sim_fleet.sim(MODEL, "--decode", 50), config="[scheduler]\nqueue_per_model = 2\n")
    warm(herd, "b1")
    connection, answer, pieces = stream(herd.url, "/api/chat", {"model": MODEL, "messages": [{"role": "user", "content": "x"}],
                                                               "options": {"num_predict": 2000}})
    _, threads = later(*[lambda: ask(herd)] * 2)
    wait_until(lambda: herd.status()["requests"]["queued"] == 2, "two to wait", 5)
    refused = ask(herd)
    assert refused.status == 429, refused
    assert 1 <= int(refused.header("Retry-After")) <= 60
    connection.close()
    for thread in threads:
        thread.join(20)


def test_a_model_whose_last_node_just_went_is_waited_for(sim_fleet):
    sim = sim_fleet.sim(MODEL)
    herd = sim_fleet.static(sim)
    assert ask(herd).status == 200
    port = sim.url.rsplit(":", 1)[1]
    sim.kill()
    wait_until(lambda: herd.node("b1")["state"] != "online", "the node to be missed", 10)
    answers, threads = later(lambda: ask(herd))
    wait_until(lambda: herd.status()["requests"]["queued"] == 1, "the request to be held", 5)
    sim_fleet.sim(MODEL, listen="127.0.0.1:" + port)
    threads[0].join(20)
    assert answers[0] is not None and answers[0].status == 200, answers


# ---------------------------------------------------------------------------------------------------- early heads

def test_a_stream_of_events_begins_while_the_model_loads(sim_fleet):
    herd = sim_fleet.static(sim_fleet.sim("big=8GB", "--load-rate", "2GB"), config='[proxy]\nearly_head = "1s"\n')
    began = time.monotonic()
    connection, answer, pieces = stream(herd.url, "/v1/chat/completions", {"model": "big", "stream": True, "max_tokens": 5,
                                                                           "messages": [{"role": "user", "content": "x"}]})
    first = next(pieces)
    assert answer.status == 200 and answer.header("Content-Type") == "text/event-stream"
    assert first.startswith(b": loading big") and first.endswith(b"\n\n") and time.monotonic() - began < 3
    for _ in pieces:
        pass
    connection.close()
    assert answer.body.endswith(b"data: [DONE]\n\n") and answer.ended
    assert b": running on b1\n\n" in answer.body and time.monotonic() - began > 3


def test_a_waiting_stream_is_told_its_place_and_ndjson_is_never_filled_up(sim_fleet):
    herd = sim_fleet.static(sim_fleet.sim(MODEL, "--decode", 50), config='[proxy]\nearly_head = "500ms"\n')
    warm(herd, "b1")
    busy, _, busy_pieces = stream(herd.url, "/api/chat", {"model": MODEL, "messages": [{"role": "user", "content": "x"}],
                                                          "options": {"num_predict": 2000}})
    next(busy_pieces)
    native = Connection(herd.url)
    native.send("POST", "/api/chat", {"model": MODEL, "messages": [{"role": "user", "content": "x"}], "options": {"num_predict": 3}})
    connection, answer, pieces = stream(herd.url, "/v1/messages", {"model": MODEL, "stream": True, "max_tokens": 5,
                                                                   "messages": [{"role": "user", "content": "x"}]})
    assert next(pieces).startswith(b": queued "), answer.body
    busy.close()
    for _ in pieces:
        pass
    assert answer.events()[-1][0] == "message_stop", answer.body
    lines = native.answer()
    assert all(line.startswith(b"{") for line in lines.body.split(b"\n") if line) and lines.lines()[-1]["done"]


def test_a_failure_after_an_early_head_is_told_in_the_stream(sim_fleet):
    sim = sim_fleet.sim(MODEL, "--load-rate", "1GB")
    herd = sim_fleet.static(sim, config='[proxy]\nearly_head = "300ms"\n[scheduler]\nretries = 0\n')
    sim.fault("hang", count=1, path="/v1/chat/completions")
    connection, answer, pieces = stream(herd.url, "/v1/chat/completions", {"model": MODEL, "stream": True,
                                                                           "messages": [{"role": "user", "content": "x"}]})
    next(pieces)
    sim.kill()
    for _ in pieces:
        pass
    name, last = answer.events()[-1]
    assert last["error"]["message"], answer.body
    connection.close()


def test_who_takes_nothing_after_an_early_head_holds_its_slot_no_longer_than_any_slow_client(sim_fleet):
    sim = sim_fleet.sim("big=2GB", "--load-rate", "2GB", "--decode", 100000)
    herd = sim_fleet.static(sim, config='[proxy]\nearly_head = "300ms"\nclient_write_timeout = "2s"\n')
    connection, answer, pieces = stream(herd.url, "/v1/chat/completions", {"model": "big", "stream": True, "max_tokens": 500000,
                                                                           "messages": [{"role": "user", "content": "x"}]})
    assert next(pieces).startswith(b": ")  # and reads no more: tens of megabytes are to come, more than any buffer takes
    began = time.monotonic()
    assert where(ask(herd, model="big", tokens=2, timeout=30)) == "b1"
    assert time.monotonic() - began < 15
    wait_until(lambda: record(herd, answer).get("status"), "the record of the one who was cut off", 5)
    connection.close()


def test_a_fallback_behind_an_early_head_is_named(sim_fleet):
    herd = sim_fleet.static(sim_fleet.sim("big=8GB", "--load-rate", "2GB"), config='[proxy]\nearly_head = "1s"\n')
    connection, answer, pieces = stream(herd.url, "/v1/chat/completions", {"model": "giant:405b", "fallback_models": ["big"], "stream": True,
                                                                           "max_tokens": 5, "messages": [{"role": "user", "content": "x"}]})
    for _ in pieces:
        pass
    connection.close()
    assert answer.status == 200 and answer.body.endswith(b"data: [DONE]\n\n"), answer
    assert answer.header("X-Herd-Model") is None and b": running big:latest on b1\n\n" in answer.body, answer.body


# ---------------------------------------------------------------------------------------------------- fallbacks

def test_a_fallback_is_taken_when_nobody_has_the_model_and_never_silently(sim_fleet):
    herd = sim_fleet.static(sim_fleet.sim(MODEL))
    answer = ask(herd, model="giant:405b", fallback_models=["nobody-has-it", MODEL])
    assert answer.status == 200 and answer.header("X-Herd-Model") == MODEL
    assert answer.json()["model"] == MODEL
    told = record(herd, answer)
    assert told["fallback"] is True and told["requested_model"] == "giant:405b" and told["model"] == MODEL
    assert ask(herd, model="giant:405b", headers={"X-Herd-Fallback-Models": MODEL}).status == 200
    for refused in (ask(herd, model="giant:405b"),
                    ask(herd, model="giant:405b", fallback_models=[MODEL], headers={"X-Fleet-No-Fallback": "true"}),
                    ask(herd, model="giant:405b", fallback_models=[MODEL], fallback=False)):
        assert refused.status == 404 and refused.json()["error"] == "model 'giant:405b' not found", refused
    told = herd.post("/herd/v1/route", {"model": "giant:405b", "fallback_models": ["nobody-has-it", MODEL]}).json()
    assert told["chosen"] == "b1" and told["model"] == MODEL and told["requested_model"] == "giant:405b" and told["fallback"] is True, told
    told = herd.post("/herd/v1/route", {"model": MODEL, "fallback_models": ["other"]}).json()
    assert told["chosen"] == "b1" and told["model"] == MODEL and "requested_model" not in told, told
    straight = ask(herd, fallback_models=["other"])
    assert straight.header("X-Herd-Model") == MODEL and not record(herd, straight).get("fallback")


# ---------------------------------------------------------------------------------------------------- explanations

def test_a_decision_is_explained_without_sending_anything(sim_fleet):
    sims = [sim_fleet.sim(MODEL), sim_fleet.sim("qwen3:8b")]
    herd = sim_fleet.static(*sims)
    warm(herd, "b1")
    before = [sim.state()["requests"] for sim in sims]
    answer = herd.post("/herd/v1/route", {"model": MODEL, "messages": [{"role": "user", "content": "hi"}]})
    assert answer.status == 200, answer
    decision = answer.json()
    assert decision["chosen"] == "b1"
    rows = {row["node"]: row for row in decision["candidates"]}
    assert rows["b1"]["eligible"] and not rows["b2"]["eligible"] and rows["b2"]["reason"] == "model_missing"
    cost = rows["b1"]["cost"]
    assert set(cost) == {"wait_s", "load_s", "prefill_s", "decode_s", "risk_s", "total_s"}
    assert abs(cost["total_s"] - sum(cost[k] for k in cost if k != "total_s")) < 0.01
    assert set(rows["b1"]["signals"]) == {"thermal", "memory_fit", "queue_depth", "wait_time", "role_affinity",
                                          "availability_trend", "context_fit"}
    unknown = herd.post("/herd/v1/route", {"model": "nope"}).json()
    assert unknown["chosen"] is None and unknown["note"]
    assert herd.post("/herd/v1/route", {}).status == 400
    assert [sim.state()["requests"] for sim in sims] == before


def test_a_refusal_is_explained_too(sim_fleet):
    herd = sim_fleet.static(sim_fleet.sim(MODEL, "--decode", 20), sim_fleet.sim("other:1b"))
    warm(herd, "b1")
    connection, _, pieces = stream(herd.url, "/api/chat", {"model": MODEL, "messages": [{"role": "user", "content": "x"}],
                                                           "options": {"num_predict": 1000}})
    next(pieces)
    late = ask(herd, headers={"X-Herd-Deadline": "1"})
    connection.close()
    assert late.status == 504, late
    told = record(herd, late)["decision"]
    assert told["chosen"] is None and told["model"] == MODEL and told["note"], told
    rows = {row["node"]: row for row in told["candidates"]}
    assert rows["b1"]["eligible"] and rows["b1"]["cost"]["wait_s"] > 1, told
    assert not rows["b2"]["eligible"] and rows["b2"]["reason"] == "model_missing", told
    done = subprocess.run([program("herd"), "why", late.header("X-Herd-Request-Id"), "--url", herd.url], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0 and "answered 504" in done.stdout and "b2" in done.stdout and "does not have the model" in done.stdout, done


def test_a_full_queue_for_loads_is_told_to_the_client_and_is_no_failure_of_the_node(sim_fleet):
    sims = [sim_fleet.sim(MODEL + ",other=6GB", "--max-queue", "1", "--load-rate", "1GB", "--memory", "64GiB") for _ in range(2)]
    herd = sim_fleet.static(*sims)

    def beside(sim):  # two that reach the Ollama around herd: one loads for seconds, one waits behind it
        return later(*[lambda: request(sim.url, "POST", "/api/generate", {"model": "other", "prompt": "x", "stream": False}, timeout=60)] * 2)[1]
    threads = [thread for sim in sims for thread in beside(sim)]
    for sim in sims:
        wait_until(lambda: sim.state()["scheduling"] >= 2, "two requests before the scheduler of the Ollama", 5)
    refused = ask(herd)
    assert refused.status == 429 and int(refused.header("Retry-After")) >= 1, refused
    told = record(herd, refused)
    assert [a["outcome"] for a in told["attempts"]] == ["busy"], "the next would have to load it as well: %s" % told
    assert {herd.node(name)["state"] for name in ("b1", "b2")} == {"online"}
    for thread in threads:
        thread.join(60)
    served = ask(herd)
    assert served.status == 200 and served.header("X-Herd-Retries") == "0", served


def test_reloads_for_other_options_are_counted(sim_fleet):
    herd = sim_fleet.static(sim_fleet.sim(MODEL))
    for context in (4096, 8192):
        where(ask(herd, options={"num_ctx": context}))
    assert herd.status()["reloads"] == {"avoided": 0, "caused": 1}
    assert "\nherd_reloads_caused_total 1\n" in request(herd.url, path="/metrics").body.decode()


def test_herd_route_and_herd_why_tell_it_to_people(sim_fleet, tmp_path):
    herd = sim_fleet.static(sim_fleet.sim(MODEL), sim_fleet.sim(MODEL))
    warm(herd, "b1", "b2")

    def run(*arguments):
        done = subprocess.run([program("herd"), *arguments, "--url", herd.url], capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, done
        return done.stdout
    body = tmp_path / "body.json"
    body.write_text(json.dumps({"messages": [{"role": "user", "content": "word " * 500}]}))
    out = run("route", MODEL, "--body", body)
    assert "runs on b" in out and "PREFILL" in out and "b1" in out and "b2" in out, out
    signals = out[out.index("SIGNAL"):].splitlines()
    assert [line[:18].strip() for line in signals] == ["SIGNAL", "thermal state", "memory fit", "queue depth", "latency history",
                                                       "role affinity", "availability trend", "context fit"], out
    assert signals[0].split()[1:] in (["b1", "b2"], ["b2", "b1"]) and max(map(len, signals)) <= 80, out
    assert signals[1].split()[2:] == ["hot", "hot"] and signals[3].count("1 of 1 slots free") == 2, out
    answer = ask(herd)
    record(herd, answer)
    out = run("why", answer.header("X-Herd-Request-Id"))
    assert "answered 200 by " + where(answer) in out and "DECODE" in out and "\navailability trend  steady" in out, out
    missing = subprocess.run([program("herd"), "why", "no-such-id", "--url", herd.url], capture_output=True, text=True, timeout=30)
    assert missing.returncode == 1 and missing.stderr.startswith("herd: "), missing


# ---------------------------------------------------------------------------------------------------- a real Ollama

@pytest.mark.real
def test_a_real_ollama_teaches_its_speed_its_slots_and_its_cache(real_herd):
    messages = [{"role": "system", "content": "Answer as a pirate would. " * 60}, {"role": "user", "content": "why is the sky blue?"}]
    first = real_herd.chat("tiny", messages=messages)
    assert first.status == 200, first
    messages += [first.json()["message"], {"role": "user", "content": "and the sea?"}]
    second = real_herd.chat("tiny", messages=messages)
    assert second.status == 200, second
    assert record(real_herd, second)["cached_tokens"] > 50
    told = record(real_herd, second)
    assert told["prompt_tokens"] > 0 and told["output_tokens"] > 0
    node = wait_until(lambda: (lambda n: n if n["rates"].get("tiny:latest", {}).get("measured") else None)(real_herd.node("box")),
                      "measured rates of the real Ollama", 10)
    assert node["rates"]["tiny:latest"]["decode_tokens_per_s"] > 0
    wait_until(lambda: next((m for m in real_herd.node("box")["loaded"] if m["name"] == "tiny:latest"), None), "tiny in memory", 10)
    seen = real_herd.node("box")  # other tests may have left models of theirs in it
    listed = {each["name"] for each in seen["models"]}  # who deleted a model that was loaded left it in memory only
    assert {each["slots"] for each in seen["loaded"]} == {1}, "what an Ollama has that was told nothing"
    assert seen["slots"]["total"] == sum(each["name"] in listed for each in seen["loaded"]), seen


@pytest.mark.real
def test_the_slots_of_a_real_ollama_are_what_it_was_started_with(tmp_path, sim_fleet, ollama_binary, models_folder):
    ollama = RealOllama(tmp_path / "ollama", ollama_binary, {"tiny": models_folder["tiny"]}, env={"OLLAMA_NUM_PARALLEL": "3"})
    try:
        herd = sim_fleet.herd()
        agent = sim_fleet.node("box", ollama)
        herd.wait_online(["box"]).wait_models(["tiny"])
        assert herd.chat("tiny").status == 200

        def loaded_in(models):
            return next((m for m in models if m["name"] == "tiny:latest" and m.get("slots")), None)
        seen = wait_until(lambda: loaded_in(request(agent.url, path="/herd/v1/node").json()["loaded"]), "the agent's word on slots", 10)
        assert seen["slots"] == 3, seen
        wait_until(lambda: (loaded_in(herd.node("box")["loaded"]) or {}).get("slots") == 3, "three slots in herd", 10)
        assert herd.node("box")["slots"]["total"] == 3
        told = herd.post("/herd/v1/route", {"model": "tiny"}).json()
        assert told["candidates"][0]["slots"] == 3 and told["candidates"][0]["free_slots"] == 3, told
    finally:
        ollama.stop()
