"""What a frontend limits: how long, how much, how often, how many attempts; told apart from what others may."""
import json
import socket
import threading
import time

import pytest

from harness import request, wait_until
from harness.programs import stream
from harness.scripted import ScriptedOllama
from harness.wire import Connection
from test_frontends import CHAT, DONE, ask, echo, inference

LINE = b'{"model":"m","message":{"role":"assistant","content":"a"},"done":false}\n'


def latest(herd, **wanted):
    """The newest record that fits, once it is there."""
    def found():
        return next((r for r in herd.get("/herd/v1/requests?limit=20").json()["requests"]
                     if all(r.get(key) == value for key, value in wanted.items()) and r["path"] != "/herd/v1/requests"), None)
    return wait_until(found, "a record with %r" % wanted)


def frontends(**rules):
    """herd.toml: each keyword is a frontend at KEYWORD.lan with these lines."""
    return "".join('[[frontend]]\nname = "%s"\nhostnames = ["%s.lan"]\n%s\n' % (name, name, lines) for name, lines in rules.items())


# ------------------------------------------------------------------------------------------------------ attempts

def test_without_retries_there_is_exactly_one_attempt(fleet):
    def breaks(exchange):
        return exchange.reset() if b"break" in exchange.body else echo(exchange)
    with ScriptedOllama(["m:latest"], breaks) as b1, ScriptedOllama(["m:latest"], breaks) as b2:
        herd = fleet.static(b1, b2, config=frontends(once="allow_retries = false", none="retries = 0", often=""))
        seen = lambda: sum(b"break" in each.body for each in inference(b1) + inference(b2))  # noqa: E731
        for name, attempts in (("once", 1), ("none", 1), ("often", 2)):
            for _ in range(4):  # connections are kept: one that is used again must not be sent to twice
                assert ask(herd, host=name + ".lan").status == 200
            before = seen()
            failed = ask(herd, body={**CHAT, "break": 1}, host=name + ".lan")
            sent = seen() - before  # where it may, a dead connection is replaced once without counting
            assert failed.status == 502 and (sent == attempts if attempts == 1 else sent >= attempts), (name, sent)
            tried = latest(herd, frontend=name, status=502)["attempts"]
            assert len({each["node"] for each in tried}) == len(tried) == attempts, tried


# ------------------------------------------------------------------------------------------------------ timeouts

class Deaf(ScriptedOllama):
    """Answers as any until deafen(): from then on its host drops what would open a connection."""

    def __init__(self, *arguments, **more):
        self.deaf, self.silent = threading.Event(), threading.Event()
        self.callers = []
        super().__init__(*arguments, **more)

    def _accept(self):
        self._listener.settimeout(0.02)
        while not self.deaf.is_set() and not self._closing:
            try:
                connection, _ = self._listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            self._connections.add(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()
        self.silent.set()

    def deafen(self):
        self.deaf.set()
        assert self.silent.wait(5)
        self._listener.listen(0)
        for _ in range(300):
            caller = socket.socket()
            self.callers.append(caller)
            caller.settimeout(0.1)
            try:
                caller.connect(("127.0.0.1", self.port))
            except TimeoutError:
                return
        raise AssertionError("the queue of connections does not fill")

    def close(self):
        super().close()
        for caller in self.callers:
            caller.close()


@pytest.mark.parametrize("patience_ms", [100, 1200])
def test_the_patience_of_connecting_is_the_frontends(fleet, patience_ms):
    with Deaf(["m:latest"], echo) as backend:
        herd = fleet.static(backend, config=frontends(a='allow_retries = false\nconnect_timeout = "%dms"' % patience_ms))
        backend.deafen()
        assert ask(herd, host="a.lan").status == 502
        attempt = latest(herd, frontend="a", status=502)["attempts"][0]
        assert attempt["outcome"] == "timed_out" and patience_ms * 0.9 <= attempt["ms"] <= patience_ms + 600, attempt


def test_the_patience_for_the_first_byte_is_the_frontends(fleet):
    gone = []

    def late(exchange):
        if exchange.wait_for_close(1.0):
            gone.append(exchange)
        else:
            echo(exchange)
    with ScriptedOllama(["m:latest"], late) as backend:
        herd = fleet.static(backend, config=frontends(hasty='allow_retries = false\nfirst_byte_timeout = "200ms"', patient=""))
        refused = request(herd.url, "POST", "/v1/chat/completions", CHAT, [("Host", "hasty.lan")])
        assert refused.status == 502 and "b1 (timed_out)" in refused.json()["error"]["message"]
        assert 150 <= latest(herd, frontend="hasty", status=502)["attempts"][0]["ms"] < 900
        wait_until(lambda: gone, "the node to be told that nobody waits")
        assert ask(herd, host="patient.lan").status == 200


def test_the_patience_between_bytes_and_for_the_whole_is_the_frontends(fleet):
    ended = []

    def drips(exchange):
        sse = exchange.target.startswith("/v1")
        exchange.begin("text/event-stream" if sse else "application/x-ndjson")
        piece = b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n' if sse else LINE
        try:
            for _ in range(1 if b"silent" in exchange.body else 200):
                exchange.chunk(piece)
                if exchange.wait_for_close(0.05):
                    break
            else:
                exchange.wait_for_close(10)
        except OSError:
            pass
        ended.append(exchange)
        exchange.close()
    with ScriptedOllama(["m:latest"], drips) as backend:
        herd = fleet.static(backend, config=frontends(a='idle_timeout = "300ms"\ntotal_timeout = "0s"', b='total_timeout = "700ms"')
                            + '[proxy]\ntotal_timeout = "30s"\n')
        for host, mark, words, low, high in (("a.lan", {"silent": 1}, "fell silent in the middle of the answer", 250, 1500),
                                             ("b.lan", {}, "took longer than the frontend allows", 650, 2000)):
            for path in ("/api/chat", "/v1/chat/completions"):
                before = len(ended)
                began = time.monotonic()
                answer = request(herd.url, "POST", path, {**CHAT, **mark, "stream": True}, [("Host", host)])
                took = 1000 * (time.monotonic() - began)
                last = answer.lines()[-1]["error"] if path == "/api/chat" else answer.events()[-1][1]["error"]["message"]
                assert answer.status == 200 and words in last, answer
                assert low <= took <= high, took
                wait_until(lambda: len(ended) > before, "the node's connection to be closed", 1)


def test_waiting_counts_towards_the_whole(fleet):
    gate = threading.Event()

    def slow(exchange):
        gate.wait(20)
        echo(exchange)
    with ScriptedOllama(["m:latest"], slow) as backend:
        config = frontends(a='total_timeout = "400ms"', b="") + '[[node]]\nname = "b1"\nurl = "%s"\nslots = 1\n' % backend.url
        herd = fleet.herd(discovery=False, config=fleet.config(config)).wait_online(["b1"])
        first = threading.Thread(target=lambda: ask(herd, host="b.lan"), daemon=True)
        first.start()
        backend.wait_for(1)
        late = ask(herd, host="a.lan")
        assert late.status == 504 and 350 <= latest(herd, frontend="a", status=504)["queue_ms"] < 2000
        gate.set()
        first.join(10)
        assert ask(herd, host="a.lan").status == 200


# --------------------------------------------------------------------------------------------------------- sizes

def test_the_longest_body_is_the_frontends_sized_or_chunked(fleet):
    with ScriptedOllama(["m:latest"], echo) as backend:
        herd = fleet.static(backend, config=frontends(small='max_body = "2KiB"', large=""))
        long = json.dumps({**CHAT, "pad": "x" * 4096}).encode()
        chunked = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (long[:1500], long[1500:3000], long[3000:])) + b"0\r\n\r\n"
        for host, status in (("small.lan", 413), ("large.lan", 200)):
            assert ask(herd, body=long, host=host).status == status
            with Connection(herd.url) as connection:
                connection.socket.sendall(b"POST /api/chat HTTP/1.1\r\nHost: %s\r\nTransfer-Encoding: chunked\r\n\r\n" % host.encode() + chunked)
                assert connection.head().status == status
        assert ask(herd, host="small.lan").status == 200
        assert [len(each.body) for each in inference(backend) if len(each.body) > 2048] == [len(long)] * 2


# ------------------------------------------------------------------------------------------------------- at once

def test_a_place_of_a_frontend_is_free_again_when_its_client_leaves(fleet):
    def endless(exchange):
        exchange.begin()
        while True:
            exchange.chunk(LINE)
            if exchange.wait_for_close(0.02):
                return
    with ScriptedOllama(["m:latest"], endless) as backend:
        herd = fleet.static(backend, config=frontends(one="max_parallel = 1", more="") + '[scheduler]\nqueue_timeout = "5s"\n')

        def hold(host):
            connection, answer, pieces = stream(herd.url, "/api/chat", {**CHAT, "stream": True}, [("Host", host)])
            return (connection, next(pieces)) if answer.status == 200 else (connection, answer)
        first, _ = hold("one.lan")
        for path in ("/api/chat", "/v1/messages"):
            over = request(herd.url, "POST", path, CHAT, [("Host", "one.lan")])
            assert over.status == 429 and 1 <= int(over.header("Retry-After")) <= 60
        assert herd.get("/herd/v1/frontends/one").json()["in_flight"] == 1
        other, _ = hold("more.lan")
        other.close()
        first.close()
        wait_until(lambda: herd.get("/herd/v1/frontends/one").json()["in_flight"] == 0, "the place to be free")
        again, piece = hold("one.lan")
        assert piece == LINE
        again.close()


# ------------------------------------------------------------------------------------- conversations, compatibility

def test_the_field_that_holds_a_conversation_is_configured(fleet):
    backends = [ScriptedOllama(["m:latest"], echo) for _ in range(3)]
    try:
        herd = fleet.static(*backends, config='[affinity]\nheaders = ["Chat-Key", "x-thread-id"]\n[[frontend]]\nname = "a"\nhostnames = ["*"]\n'
                                              'policy = "round_robin"\nsticky = true\n')

        def node(**fields):
            return ask(herd, **fields).header("X-Herd-Node")
        homes = {key: node(Chat_Key=key) for key in ("one", "two", "three")}
        assert len(set(homes.values())) == 3
        for _ in range(3):
            for key, home in homes.items():
                assert node(Chat_Key=key) == home and node(X_Thread_Id=key) == home and node(X_Herd_Session=key, Chat_Key="two") == home
        assert latest(herd, path="/api/chat")["session"] == "three"
        assert inference(backends[0])[-1].header("Chat-Key")  # it is the client's own, and goes on
        ask(herd, X_Conversation_Id="four")
        assert latest(herd, path="/api/chat").get("session") in (None, "")  # not configured any more
    finally:
        for backend in backends:
            backend.close()


def test_secrets_hold_no_conversation(fleet):
    herd = fleet.herd(discovery=False, config=fleet.config('[affinity]\nheaders = ["Authorization"]\n'), wait=False)
    assert herd.wait(10) == 2 and "line 2" in herd.output() and "affinity.headers" in herd.output()


def test_fields_of_the_other_systems_are_sent_when_asked_for(fleet):
    def forged(exchange):
        exchange.answer(200, DONE, headers=[("X-Fleet-Node", "forged"), ("X-OllamaFlow-Backend", "forged")])
    with ScriptedOllama(["m:latest"], forged, loaded=["m:latest"]) as b1:
        nodes = '[[node]]\nname = "b1"\nurl = "%s"\n' % b1.url
        site = '[[frontend]]\nname = "a"\nhostnames = ["*"]\nsticky = true\n'
        path = fleet.config(site + nodes)
        herd = fleet.herd(discovery=False, config=path).wait_online(["b1"])

        def fields(**more):
            answer = ask(herd, **more)
            assert answer.status == 200
            return {name: value for name, value in answer.headers if name.startswith(("X-Fleet", "X-Ollama"))}
        assert fields() == {}
        path.write_text('[compat]\nfleet_headers = "0.8"\nollamaflow_headers = true\n' + site + nodes)
        assert herd.post("/herd/v1/reload").status == 200
        got = fields(X_Herd_Session="s1", X_Request_Id="r-1")
        score = got.pop("X-Fleet-Score")
        assert int(score) <= 0
        assert got.pop("X-Fleet-Affinity") in ("new", "matched")
        assert got == {"X-Fleet-Node": "b1", "X-Fleet-Served-Model": "m:latest", "X-Fleet-Requested-Model": "m", "X-Fleet-Fallback": "false",
                       "X-Fleet-Backend": "ollama", "X-Fleet-Retries": "0", "X-OllamaFlow-Request": "r-1", "X-OllamaFlow-Backend": "b1"}
        assert {"X-OllamaFlow-Sticky": "True", "X-Fleet-Affinity": "matched"}.items() <= fields(X_Herd_Session="s1").items()
        long = ask(herd, body={**CHAT, "messages": [{"role": "user", "content": "word " * 20000}]})
        tokens, context = (int(part.split("=")[1]) for part in long.header("X-Fleet-Context-Overflow").split("; "))
        assert tokens > context == 4096
        substituted = ask(herd, body={**CHAT, "model": "gone", "fallback_models": ["m"]})
        assert substituted.header("X-Fleet-Fallback") == "true" and substituted.header("X-Fleet-Requested-Model") == "gone"
        path.write_text('[compat]\nfleet_headers = "0.6"\n' + site + nodes)
        assert herd.post("/herd/v1/reload").status == 200
        assert set(fields()) == {"X-Fleet-Node", "X-Fleet-Score"}
        assert ask(herd, body={**CHAT, "model": "gone", "fallback_models": ["m"]}).header("X-Fleet-Fallback") == "m:latest"
