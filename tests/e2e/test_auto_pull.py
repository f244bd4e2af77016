"""[models] auto_pull: a request for a model that no node of its has brings it there, where that is allowed."""
import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness import wait_until
from harness.programs import stream
from harness.scripted import ScriptedOllama
from harness.wire import Connection

MODEL = "llama3.2:3b"
RULES = '[models]\nauto_pull = true\nauto_pull_allow = ["mistral:7b", "fresh*", "missing*"]\n'
MISSING = "pull model manifest: file does not exist"


def pulls(backend):
    """Names that the simulated Ollama was asked to pull."""
    return [seen["model"] for seen in backend.state()["seen"] if seen["path"] == "/api/pull"]


def has(herd, node, model):
    return any(each["name"] == model for each in herd.node(node)["models"])


def nodes(*sims, **more):
    return "".join('[[node]]\nname = "b%d"\nurl = "%s"\n%s\n' % (i, sim.url, more.get("b%d" % i, "")) for i, sim in enumerate(sims, 1))


class SlowRegistry(ScriptedOllama):
    """A pull goes half its way, then waits until it is let through."""

    def __init__(self, models=(MODEL,)):
        self.through = threading.Event()
        self.frozen = False  # answers nothing more, and closes nothing
        super().__init__(models, self.answer)

    def _probe(self, exchange, path):
        if self.frozen:
            self.through.wait(60)
        super()._probe(exchange, path)

    def answer(self, exchange):
        if exchange.target != "/api/pull":
            return exchange.answer(200, {"model": "m", "message": {"role": "assistant", "content": "hi"}, "done": True})
        exchange.begin()
        exchange.chunk(b'{"status":"pulling 1","digest":"sha256:1","total":100,"completed":50}\n')
        if self.through.wait(30):
            self.models.append(json.loads(exchange.body)["model"])
            exchange.chunk(b'{"status":"success"}\n')
        exchange.end()

    def pulls(self):
        return [each for each in self.seen if each.target == "/api/pull"]


def test_the_model_is_pulled_once_and_served_in_every_dialect(sim_fleet):
    sim = sim_fleet.sim(MODEL)
    herd = sim_fleet.static(sim, config=RULES)
    answer = herd.chat("mistral:7b")
    assert answer.status == 200 and answer.json()["done"], answer
    assert herd.post("/v1/chat/completions", {"model": "fresh-a", "messages": [{"role": "user", "content": "x"}]}).status == 200
    assert herd.post("/v1/messages", {"model": "FRESH-b", "max_tokens": 4, "messages": [{"role": "user", "content": "x"}]}).status == 200
    assert herd.post("/api/embed", {"model": "fresh-embed", "input": "x"}).status == 200
    assert herd.chat("mistral:7b").status == 200
    assert sorted(name.lower() for name in pulls(sim)) == ["fresh-a:latest", "fresh-b:latest", "fresh-embed:latest", "mistral:7b"]
    record = herd.get("/herd/v1/requests/" + answer.header("X-Herd-Request-Id")).json()
    assert record["decision"]["note"].startswith("no node had the model: it was pulled because of this request")
    assert record["status"] == 200 and record["queue_ms"] >= 100
    log = herd.output()
    assert 'why="a request names it"' in log and "pull_done" in log
    # what is not on the list, and what is no inference, is as ever
    for model in ("mistral:8b", "someone/fresh", "hf.co/fresh/fresh"):
        answer = herd.chat(model)
        assert (answer.status, answer.json()) == (404, {"error": "model '%s' not found" % model})
    assert herd.post("/api/show", {"model": "fresh-c"}).status == 404
    assert len(pulls(sim)) == 4


def test_a_failing_pull_ends_the_wait_with_its_reason_and_is_not_repeated(sim_fleet):
    sim = sim_fleet.sim(MODEL)
    herd = sim_fleet.static(sim, config=RULES)
    first = herd.chat("missing-one", timeout=20.0)
    assert (first.status, first.json()) == (404, {"error": "model 'missing-one' not found; pulling it to b1 failed: " + MISSING})
    with ThreadPoolExecutor(10) as many:
        answers = list(many.map(lambda _: herd.post("/v1/chat/completions", {"model": "missing-one", "messages": []}), range(100)))
    assert {answer.status for answer in answers} == {404}
    error = answers[0].json()["error"]
    assert error["code"] == "model_not_found" and MISSING in error["message"] and "tried again in" in error["message"]
    assert pulls(sim) == ["missing-one:latest"]
    told = herd.get("/herd/v1/sync").json()["asked"]
    assert [(row["model"], row["state"], row["failures"]) for row in told] == [("missing-one:latest", "failed", 1)]
    # an operator need not wait, and the failure of one model does not touch another
    assert herd.post("/herd/v1/sync/retry", {"model": "missing-one"}).status == 200
    assert herd.chat("missing-one").status == 404
    assert herd.chat("fresh").status == 200
    assert pulls(sim) == ["missing-one:latest", "missing-one:latest", "fresh:latest"]


def test_twenty_requests_share_one_pull_and_one_that_leaves_does_not_end_it(fleet):
    with SlowRegistry() as backend:
        herd = fleet.static(backend, config=RULES)
        with ThreadPoolExecutor(20) as many:
            waiting = [many.submit(herd.chat, "fresh") for _ in range(19)]
            waiting.append(many.submit(herd.post, "/v1/chat/completions", {"model": "fresh", "messages": []}))
            connection = Connection(herd.url, 30.0)
            connection.send("POST", "/api/chat", {"model": "fresh", "messages": []})
            wait_until(lambda: herd.status()["requests"]["in_flight"] >= 21, "all to wait")
            wait_until(lambda: [row.get("percent") for row in herd.get("/herd/v1/sync").json()["asked"]] == [50], "progress to be told")
            connection.close()
            wait_until(lambda: herd.status()["requests"]["in_flight"] == 20, "the one that left to be gone")
            assert len(backend.pulls()) == 1
            backend.through.set()
            assert {each.result().status for each in waiting} == {200}
        assert len(backend.pulls()) == 1
        assert any(record["termination"] == "CQ" for record in herd.get("/herd/v1/requests?limit=50").json()["requests"])
        wait_until(lambda: herd.get("/herd/v1/sync").json()["asked"] == [], "nothing more to be asked for")


def test_nobody_left_to_wait_and_the_pull_goes_on(fleet):
    with SlowRegistry() as backend:
        herd = fleet.static(backend, config=RULES)
        answer = herd.chat("fresh", headers=[("X-Herd-Deadline", "1")])
        assert answer.status == 504 and "which goes on" in answer.json()["error"], answer
        backend.through.set()
        wait_until(lambda: has(herd, "b1", "fresh:latest"), "the model to be there")
        assert herd.chat("fresh").status == 200
        assert len(backend.pulls()) == 1


def test_an_event_stream_hears_how_far_it_is(fleet):
    with SlowRegistry() as backend:
        def answer(exchange):
            if exchange.target == "/api/pull":
                return SlowRegistry.answer(backend, exchange)
            exchange.begin("text/event-stream")
            exchange.chunk(b'data: {"choices":[]}\n\ndata: [DONE]\n\n')
            exchange.end()
        backend.script = answer
        herd = fleet.static(backend, config=RULES + '[proxy]\nearly_head = "1s"\n')
        connection, head, pieces = stream(herd.url, "/v1/chat/completions", {"model": "fresh", "stream": True, "messages": []})
        assert head.status == 200 and next(pieces) == b": pulling fresh:latest on b1, 50 %\n\n"
        backend.through.set()
        rest = b"".join(pieces)
        assert b": running on b1\n\n" in rest and rest.endswith(b"data: [DONE]\n\n")
        connection.close()


def test_who_may_not_use_the_model_or_its_frontend_pulls_nothing(sim_fleet):
    sim = sim_fleet.sim(MODEL)
    herd = sim_fleet.static(sim, config=RULES)
    herd.add_key("boss", scope="admin")
    other, own = herd.add_key("other", models=[MODEL]), herd.add_key("own", models=["fresh-own"])

    def ask(model, key):
        return herd.chat(model, headers=[("Authorization", "Bearer " + key)])
    assert ask("fresh", other).status == 403
    assert ask("missing-other", other).status == 403
    assert ask("fresh", own).status == 403
    assert pulls(sim) == []
    assert ask("fresh-own", own).status == 200  # its key and the list name it
    assert pulls(sim) == ["fresh-own:latest"]


def test_a_frontend_pulls_to_its_own_nodes_and_only_where_models_may_be_changed(sim_fleet):
    sims = [sim_fleet.sim(MODEL) for _ in range(3)]
    text = RULES + nodes(*sims, b3='labels = ["eu"]') + """
[[frontend]]
name = "closed"
hostnames = ["closed.lan"]
[[frontend]]
name = "two"
hostnames = ["two.lan"]
nodes = ["b2"]
allow_model_admin = true
[[frontend]]
name = "all"
hostnames = ["*"]
allow_model_admin = true
"""
    herd = sim_fleet.herd(discovery=False, config=sim_fleet.config(text)).wait_online(["b1", "b2", "b3"])
    closed = herd.chat("fresh", headers=[("Host", "closed.lan")])
    assert (closed.status, closed.json()) == (404, {"error": "model 'fresh' not found"})
    assert [pulls(sim) for sim in sims] == [[], [], []]
    assert herd.chat("fresh", headers=[("Host", "two.lan")]).header("X-Herd-Node") == "b2"
    assert [pulls(sim) for sim in sims] == [[], ["fresh:latest"], []]
    # a label and a pin mean the node that is meant
    assert herd.chat("fresh", headers=[("X-Herd-Label", "eu")]).header("X-Herd-Node") == "b3"
    assert herd.chat("fresh-1", headers=[("X-Herd-Node", "b1")]).header("X-Herd-Node") == "b1"
    assert [pulls(sim) for sim in sims] == [["fresh-1:latest"], ["fresh:latest"], ["fresh:latest"]]


def test_a_model_on_a_node_that_is_away_is_not_pulled_elsewhere(sim_fleet):
    sims = [sim_fleet.sim(MODEL), sim_fleet.sim(MODEL + ",fresh")]
    herd = sim_fleet.static(*sims, config=RULES + '[scheduler]\nhold_timeout = "1s"\n')
    herd.wait_models(["fresh"])
    sims[1].kill()
    herd.wait_state("b2", {"offline", "suspect", "unreachable"})
    assert herd.chat("fresh").status == 503
    assert pulls(sims[0]) == []


def test_it_follows_a_reload_and_needs_a_list(sim_fleet):
    sim = sim_fleet.sim(MODEL)
    path = sim_fleet.config(nodes(sim))
    herd = sim_fleet.herd(discovery=False, config=path).wait_online(["b1"])
    assert herd.chat("fresh").status == 404
    path.write_text("[models]\nauto_pull = true\n" + nodes(sim))
    refused = herd.post("/herd/v1/reload")
    assert refused.status == 400 and "models.auto_pull pulls nothing without models.auto_pull_allow" in refused.json()["error"], refused
    path.write_text(RULES + nodes(sim))
    assert herd.post("/herd/v1/reload").status == 200
    assert herd.chat("fresh").status == 200
    path.write_text(nodes(sim))
    assert herd.post("/herd/v1/reload").status == 200
    assert herd.chat("fresh-2").status == 404
    assert pulls(sim) == ["fresh:latest"]


class FailingRegistry(ScriptedOllama):
    """No pull of it gets through."""

    def __init__(self, why):
        super().__init__((MODEL,), lambda exchange: exchange.answer(200, {"error": why}))


def test_a_pull_that_fails_at_one_node_is_tried_at_another_before_anyone_is_told(fleet):
    with FailingRegistry("no space left on device") as full, FailingRegistry("no route to the registry") as far, SlowRegistry() as good:
        herd = fleet.static(full, far, config=RULES)
        failed = herd.chat("fresh")
        assert failed.status == 404 and {len(full.seen), len(far.seen)} == {1}, (failed, full.seen, far.seen)
        assert herd.chat("fresh").status == 404 and {len(full.seen), len(far.seen)} == {1}
        good.through.set()
        assert herd.post("/herd/v1/nodes", {"url": good.url, "name": "good"}).json()["state"] == "online"
        answers = [herd.chat("fresh"), herd.chat("fresh-1")]
        assert [(answer.status, answer.header("X-Herd-Node")) for answer in answers] == [(200, "good")] * 2, answers
        assert len(good.pulls()) == 2 and len(full.seen) <= 2 and len(far.seen) <= 2


@pytest.mark.parametrize("how", ["frozen", "removed"])
def test_pulls_end_with_their_node_and_go_on_at_another(fleet, how):
    with SlowRegistry() as first, SlowRegistry() as second:
        herd = fleet.herd(discovery=False, config=fleet.config(RULES))
        assert herd.post("/herd/v1/nodes", {"url": first.url, "name": "first"}).json()["state"] == "online"
        with ThreadPoolExecutor(3) as many:
            waiting = [many.submit(herd.chat, model) for model in ("fresh-1", "fresh-2", "fresh-3")]
            wait_until(lambda: len(first.pulls()) == 2, "two pulls to be on their way")
            assert herd.post("/herd/v1/nodes", {"url": second.url, "name": "second"}).json()["state"] == "online"
            second.through.set()
            assert second.pulls() == []
            if how == "frozen":
                first.frozen = True
            else:
                assert herd.delete("/herd/v1/nodes/first").status in (200, 204)
            answers = [each.result() for each in waiting]
        assert [(answer.status, answer.header("X-Herd-Node")) for answer in answers] == [(200, "second")] * 3, answers
        assert len(first.pulls()) == 2 and len(second.pulls()) == 3
        assert [row["state"] for row in herd.get("/herd/v1/sync").json()["asked"]] == []
        first.through.set()


def test_a_required_copy_goes_elsewhere_when_its_node_is_lost(fleet):
    with SlowRegistry() as one, SlowRegistry() as other:
        herd = fleet.static(one, other, config='[[required]]\nmodel = "mistral:7b"\nreplicas = 1\n')
        wait_until(lambda: one.pulls() or other.pulls(), "the pull to be on its way")
        at, free = (one, other) if one.pulls() else (other, one)
        free.through.set()
        at.frozen = True
        name = "b2" if at is one else "b1"
        wait_until(lambda: [(each["node"], each["state"]) for each in herd.get("/herd/v1/sync").json()["models"]] == [(name, "present")], "the other to have it", 30)
        at.through.set()
