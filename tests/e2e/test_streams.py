"""What a client gets while nodes fail around it: before the first byte nothing, after it an honest end."""
import json
import threading
import time

import pytest

from harness import Connection, report, request, wait_until
from harness.programs import stream
from harness.scripted import ScriptedOllama

CHAT = {"model": "m", "messages": [{"role": "user", "content": "x"}]}
DONE = {"model": "m", "message": {"role": "assistant", "content": ""}, "done": True}


def good(exchange):
    exchange.answer(200, {**DONE, "from": exchange.socket.getsockname()[1]})


def two(fleet, first, second=good, **more):
    """A herd before two scripted backends: the first one asked does `first`, the other `second`."""
    once = threading.Lock()

    def script(exchange):
        (first if once.acquire(blocking=False) else second)(exchange)
    backends = [ScriptedOllama(script=script, loaded=["m:latest"]), ScriptedOllama(script=script, loaded=["m:latest"])]
    return fleet.static(*backends, **more), backends


BEFORE_THE_FIRST_BYTE = {
    "closed": lambda exchange: exchange.close(),
    "reset": lambda exchange: exchange.reset(),
    "half a head": lambda exchange: (exchange.send(b"HTTP/1.1 200 OK\r\nContent-Ty"), exchange.reset()),
    "500 of a dead runner": lambda exchange: exchange.answer(500, {"error": "model runner has unexpectedly stopped, this may be due to resource limitations or an internal error, check ollama server logs for details"}),
    "503": lambda exchange: exchange.answer(503, {"error": "server busy, please try again.  maximum pending requests exceeded"}),
    "404 against the catalog": lambda exchange: exchange.answer(404, {"error": "model 'm' not found"}),
}


@pytest.mark.parametrize("how", BEFORE_THE_FIRST_BYTE)
@pytest.mark.parametrize("path", ["/api/chat", "/v1/chat/completions"])
def test_a_node_that_fails_before_the_first_byte_is_not_noticed(fleet, how, path):
    herd, backends = two(fleet, BEFORE_THE_FIRST_BYTE[how])
    answer = request(herd.url, "POST", path, {**CHAT, "stream": False}, timeout=10)
    assert answer.status == 200 and answer.json()["done"], answer
    assert answer.header("X-Herd-Retries") == "1"
    bodies = {exchange.body for backend in backends for exchange in backend.seen}
    assert len(bodies) == 1, "the body was not sent again as it was"
    assert all(len(backend.seen) == 1 for backend in backends), "the second try must go elsewhere"


def test_when_every_node_fails_the_answer_names_them(fleet):
    herd, _ = two(fleet, BEFORE_THE_FIRST_BYTE["reset"], BEFORE_THE_FIRST_BYTE["reset"])
    answer = request(herd.url, "POST", "/api/chat", {**CHAT, "stream": False}, timeout=20)
    assert answer.status == 502 and "b1" in answer.json()["error"] and "b2" in answer.json()["error"], answer
    wait_until(lambda: herd.status()["requests"]["in_flight"] == 0, "nothing in flight", 3)


@pytest.mark.parametrize("path,where", [("/api/chat", ("error",)), ("/v1/chat/completions", ("error", "message")), ("/v1/messages", ("error", "message"))])
def test_behind_agents_too_the_answer_names_the_nodes_in_the_clients_dialect(sim_fleet, path, where):
    """An agent answers for an Ollama that breaks off; what it says is nobody's answer to a client of OpenAI or Anthropic."""
    herd, _, sims = sim_fleet.simulated(2)
    for sim in sims:
        sim.fault("reset")
    body = {"model": "llama3.2:3b", "max_tokens": 3, "messages": [{"role": "user", "content": "x"}], "stream": False}
    answer = request(herd.url, "POST", path, body, timeout=20)
    said = answer.json()
    for name in where:
        said = said[name]
    assert answer.status == 502 and all(node["name"] in said for node in herd.nodes()), answer
    assert not answer.header("X-Herd-Gateway")


@pytest.mark.parametrize("status", [400, 401, 403, 413])
def test_an_answer_about_the_request_itself_is_not_retried(fleet, status):
    herd, backends = two(fleet, lambda exchange: exchange.answer(status, {"error": "no"}))
    answer = request(herd.url, "POST", "/api/chat", {**CHAT, "stream": False})
    assert answer.status == status and answer.json() == {"error": "no"}
    assert sum(len(backend.seen) for backend in backends) == 1


@pytest.mark.parametrize("path,body", [("/api/pull", {"model": "m"}), ("/api/push", {"model": "m"}), ("/api/create", {"model": "new", "from": "m"})])
def test_work_that_may_have_begun_is_not_sent_twice(fleet, path, body):
    herd, backends = two(fleet, BEFORE_THE_FIRST_BYTE["closed"])
    request(herd.url, "POST", path, body, timeout=10)
    assert sum(len(backend.seen) for backend in backends) == 1


LINE = b'{"model":"m","created_at":"2026-01-02T03:04:05Z","message":{"role":"assistant","content":"hi"},"done":false}\n'
SSE = b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"hi"},"finish_reason":null}]}\n\n'
MESSAGE = (b'event: message_start\ndata: {"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[],"usage":{"input_tokens":1,"output_tokens":0}}}\n\n'
           b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"hi"}}\n\n')


def native_error(answer):
    last = json.loads(answer.body.rstrip(b"\n").split(b"\n")[-1])  # a line that the node left unfinished may stand before it
    return "error" in last and "done" not in last


def openai_error(answer):
    name, last = answer.events()[-1]
    return isinstance(last, dict) and "message" in last["error"]


def anthropic_error(answer):
    name, last = answer.events()[-1]
    return name == "error" and last["type"] == "error" and "message" in last["error"]


@pytest.mark.parametrize("path,kind,piece,told", [
    ("/api/chat", "application/x-ndjson", LINE, native_error),
    ("/api/generate", "application/x-ndjson", LINE.replace(b'"message":{"role":"assistant","content":"hi"}', b'"response":"hi"'), native_error),
    ("/v1/chat/completions", "text/event-stream", SSE, openai_error),
    ("/v1/messages", "text/event-stream", MESSAGE, anthropic_error)], ids=["chat", "generate", "openai", "anthropic"])
@pytest.mark.parametrize("how", ["reset", "closed", "half a line"])
def test_a_node_that_dies_in_the_stream_is_told_in_the_dialect(fleet, path, kind, piece, told, how):
    def dying(exchange):
        exchange.begin(kind)
        exchange.chunk(piece)
        if how == "half a line":
            exchange.send(b"%x\r\n" % len(piece) + piece[:30])
        time.sleep(0.05)  # so that the pieces are out before the reset discards them
        exchange.reset() if how == "reset" else exchange.close()

    herd, backends = two(fleet, dying)
    with Connection(herd.url, timeout=10) as connection:
        connection.send("POST", path, {**CHAT, "prompt": "x", "max_tokens": 10, "stream": True})
        answer = connection.answer()
        assert answer.status == 200 and answer.body.startswith(piece), answer
        assert told(answer), answer.body
        assert connection.closed_by_peer(5), "a broken stream must end its connection"
    assert sum(len(backend.seen) for backend in backends) == 1, "after the first byte there is no second try"


@pytest.mark.parametrize("path,kind,piece,told", [("/api/chat", "application/x-ndjson", LINE, native_error), ("/v1/chat/completions", "text/event-stream", SSE, openai_error),
                                                  ("/v1/messages", "text/event-stream", MESSAGE, anthropic_error)], ids=["chat", "openai", "anthropic"])
def test_a_stream_that_just_stops_without_its_end_is_told_too(fleet, path, kind, piece, told):
    def silent(exchange):
        exchange.begin(kind)
        exchange.chunk(piece)
        exchange.end()

    herd, _ = two(fleet, silent)
    answer = request(herd.url, "POST", path, {**CHAT, "max_tokens": 10, "stream": True})
    assert answer.body.startswith(piece) and told(answer), answer.body


def test_the_nodes_own_error_line_passes_and_nothing_is_added(fleet):
    def failing(exchange):
        exchange.begin()
        exchange.chunk(LINE)
        exchange.chunk(b'{"error":"boom"}\n')
        exchange.end()

    herd, _ = two(fleet, failing)
    assert request(herd.url, "POST", "/api/chat", CHAT).body == LINE + b'{"error":"boom"}\n'


def test_chunks_pass_as_they_come_and_unchanged(fleet):
    odd = [b'{"a":1}\n', b'{"b"', b':2}\n{"c":3}\n', b"\xff\xfe not utf-8 \x00\n", b'{"done":true}\n']
    steps = [threading.Event() for _ in odd]

    def script(exchange):
        exchange.begin(headers=[("X-Own", "kept"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")])
        for step, data in zip(steps, odd):
            assert step.wait(5)
            exchange.chunk(data)
        exchange.end()

    with ScriptedOllama(script=script) as backend:
        herd = fleet.static(backend)
        connection = Connection(herd.url, timeout=5)
        connection.send("POST", "/api/chat", CHAT)
        steps[0].set()
        answer = connection.head()
        assert answer.header("X-Own") == "kept" and [v for k, v in answer.headers if k == "Set-Cookie"] == ["a=1", "b=2"]
        pieces = connection.pieces(answer)
        got = b""
        for i in range(len(odd)):
            steps[i].set()
            while len(got) < len(b"".join(odd[:i + 1])):
                got += next(pieces)  # arrives before the next one has been sent
        assert list(pieces) == [] and got == b"".join(odd) and answer.ended
        connection.close()


def test_an_answer_with_a_length_keeps_it_and_one_without_is_whole(fleet):
    def script(exchange):
        if json.loads(exchange.body)["prompt"] == "length":
            exchange.answer(200, b'{"done":true}', headers=[("ETag", '"x"')])
        else:
            exchange.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n" + b'{"done":true}')
            exchange.close()

    with ScriptedOllama(script=script) as backend:
        herd = fleet.static(backend)
        kept = request(herd.url, "POST", "/api/generate", {"model": "m", "prompt": "length", "stream": False})
        assert kept.header("content-length") == "13" and kept.header("etag") == '"x"' and kept.body == b'{"done":true}'
        whole = request(herd.url, "POST", "/api/generate", {"model": "m", "prompt": "close", "stream": False})
        assert whole.body == b'{"done":true}' and whole.ended


@pytest.mark.parametrize("when", ["before the head", "in the stream"])
@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_client_that_leaves_ends_the_nodes_work_within_100_ms(fleet, when, how):
    noticed = []

    def script(exchange):
        if when == "in the stream":
            exchange.begin()
            exchange.chunk(LINE)
        if exchange.wait_for_close(5):
            noticed.append(time.monotonic())

    with ScriptedOllama(script=script) as backend:
        herd = fleet.static(backend)
        connection = Connection(herd.url, timeout=5)
        connection.send("POST", "/api/chat", CHAT)
        backend.wait_for(1)
        if when == "in the stream":
            connection.head()
        left = time.monotonic()
        connection.close() if how == "close" else connection.reset()
        wait_until(lambda: noticed, "the node to be told", 3, every=0.001)
        report("client leaves %s (%s): node's connection closed after %.1f ms (target < 100)" % (when, how, 1000 * (noticed[0] - left)))
        assert noticed[0] - left < 0.1
        wait_until(lambda: herd.status()["requests"]["in_flight"] == 0, "nothing in flight", 2)


def test_a_client_that_finished_sending_may_close_its_half_and_still_read(fleet):
    """curl never does this, but `nc` and some HTTP/1.0 clients do; Ollama itself would take it for a disconnect."""
    with ScriptedOllama(script=lambda exchange: exchange.answer(200, DONE)) as backend:
        herd = fleet.static(backend)
        assert request(herd.url, "POST", "/api/chat", {**CHAT, "stream": False}).status == 200


def test_a_slow_reader_does_not_make_herd_swallow_the_stream(fleet):
    sent = [0]

    def script(exchange):
        exchange.begin()
        exchange.socket.settimeout(3)
        try:
            while sent[0] < 400:
                exchange.chunk(b"x" * 262144)
                sent[0] += 1
        except OSError:
            pass

    with ScriptedOllama(script=script) as backend:
        herd = fleet.static(backend)
        before = herd.rss_bytes()
        connection, answer, pieces = stream(herd.url, "/api/generate", {"model": "m", "prompt": "x"})
        next(pieces)
        wait_until(lambda: sent[0] >= 400 or stalled(sent), "the backend to be held back", 10, every=0.2)
        grown = herd.rss_bytes() - before
        connection.close()
        report("a reader that stops reading: backend held after %d MiB, herd grew by %.1f MiB" % (sent[0] // 4, grown / 2**20))
        assert sent[0] < 400 and grown < 16 * 2**20


def stalled(counter, seconds=0.5):
    before = counter[0]
    time.sleep(seconds)
    return counter[0] == before and before > 0


def test_an_early_answer_to_an_upload_is_passed_on(fleet):
    """Ollama answers 200 to a blob that it has before it reads a byte of it, and closes."""
    def script(exchange):
        exchange.answer(200, b"", content_type=None)
        exchange.close()

    with ScriptedOllama(script=script) as backend:
        backend.leave_bodies = True
        herd = fleet.static(backend)
        with Connection(herd.url, timeout=5) as connection:
            connection.send_raw(b"POST /api/blobs/sha256:%s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000000\r\n\r\n" % (b"0" * 64))
            try:
                for _ in range(40):
                    connection.send_raw(b"x" * 65536)
            except OSError:
                pass
            assert connection.answer().status == 200


def test_no_half_close_ever_reaches_a_node(fleet):
    """Ollama takes the end of our sending for a client that left, and cancels."""
    def script(exchange):
        closed = exchange.wait_for_close(0.3)
        exchange.answer(200 if not closed else 500, DONE)

    with ScriptedOllama(script=script) as backend:
        herd = fleet.static(backend)
        assert request(herd.url, "POST", "/api/chat", {**CHAT, "stream": False}).status == 200


def test_node_connections_are_used_again(fleet):
    with ScriptedOllama(script=good) as backend:
        herd = fleet.static(backend, )
        with Connection(herd.url) as connection:
            for _ in range(10):
                assert connection.request("POST", "/api/chat", {**CHAT, "stream": False}).status == 200
        assert len({exchange.peer for exchange in backend.seen}) <= 2


def test_a_connection_that_the_node_closed_while_idle_is_not_an_error(fleet):
    with ScriptedOllama(script=good) as backend:
        herd = fleet.static(backend)
        for _ in range(5):
            assert request(herd.url, "POST", "/api/chat", {**CHAT, "stream": False}).status == 200
            backend.seen[-1].close()
        assert len(backend.seen) == 5
