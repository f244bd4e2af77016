"""Hostile HTTP, byte for byte. Whatever is ambiguous is answered 4xx and closed, and nothing of it reaches a node."""
import json
import socket

import pytest

from harness import Connection, request, wait_until
from harness.scripted import ScriptedOllama

BODY = b'{"model":"m","prompt":"x","stream":false}'
SMUGGLED = b"POST /api/generate HTTP/1.1\r\nHost: localhost\r\nContent-Length: 41\r\n\r\n" + BODY


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """(herd, backend): one herd for the whole file, in front of a backend that counts."""
    from conftest import need
    from harness.programs import Fleet
    need("herd")
    with Fleet(tmp_path_factory.mktemp("strict")) as fleet, ScriptedOllama() as backend:
        yield fleet.static(backend), backend


def post(*fields, body=BODY, target=b"/api/generate", version=b"HTTP/1.1"):
    return b"POST " + target + b" " + version + b"\r\n" + b"".join(field + b"\r\n" for field in fields) + b"\r\n" + body


HOST, LENGTH = b"Host: localhost", b"Content-Length: %d" % len(BODY)
CHUNKED = b"Transfer-Encoding: chunked"
GOOD_CHUNKS = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)

ATTACKS = {
    "length and chunked": post(HOST, LENGTH, CHUNKED, body=GOOD_CHUNKS),
    "chunked and length": post(HOST, CHUNKED, LENGTH, body=GOOD_CHUNKS),
    "two lengths that differ": post(HOST, LENGTH, b"Content-Length: 3"),
    "two equal lengths": post(HOST, LENGTH, LENGTH),
    "a list of lengths": post(HOST, b"Content-Length: 41, 41"),
    "a negative length": post(HOST, b"Content-Length: -1", body=b""),
    "a signed length": post(HOST, b"Content-Length: +41"),
    "a hexadecimal length": post(HOST, b"Content-Length: 0x29"),
    "a length with a word": post(HOST, b"Content-Length: 41x"),
    "an empty length": post(HOST, b"Content-Length:", body=b""),
    "a length beyond 64 bits": post(HOST, b"Content-Length: 99999999999999999999999", body=b""),
    "chunked is not last": post(HOST, b"Transfer-Encoding: chunked, gzip", body=GOOD_CHUNKS),
    "chunked twice": post(HOST, b"Transfer-Encoding: chunked, chunked", body=GOOD_CHUNKS),
    "an unknown coding": post(HOST, b"Transfer-Encoding: cow", body=b""),
    "coding with a space before the colon": post(HOST, b"Transfer-Encoding : chunked", body=GOOD_CHUNKS),
    "coding with a vertical tab": post(HOST, b"Transfer-Encoding: \x0bchunked", body=GOOD_CHUNKS),
    "chunk size with a sign": post(HOST, CHUNKED, body=b"+5\r\nhello\r\n0\r\n\r\n"),
    "chunk size with 0x": post(HOST, CHUNKED, body=b"0x5\r\nhello\r\n0\r\n\r\n"),
    "chunk size that is no number": post(HOST, CHUNKED, body=b"zz\r\nhello\r\n0\r\n\r\n"),
    "an empty chunk size": post(HOST, CHUNKED, body=b"\r\nhello\r\n0\r\n\r\n"),
    "chunk size beyond 64 bits": post(HOST, CHUNKED, body=b"fffffffffffffffff\r\n"),
    "chunk longer than it says": post(HOST, CHUNKED, body=b"3\r\nhello\r\n0\r\n\r\n"),
    "chunk ended by a bare LF": post(HOST, CHUNKED, body=b"5\nhello\n0\n\n"),
    "a folded field": post(HOST, b"X-Fold: a\r\n b", LENGTH),
    "a folded first field": b"POST /api/generate HTTP/1.1\r\n Host: localhost\r\n" + LENGTH + b"\r\n\r\n" + BODY,
    "a bare LF between fields": b"POST /api/generate HTTP/1.1\r\nHost: localhost\n" + LENGTH + b"\r\n\r\n" + BODY,
    "only bare LFs": b"POST /api/generate HTTP/1.1\nHost: localhost\n" + LENGTH + b"\n\n" + BODY,
    "a bare CR in a value": post(HOST, b"X-A: a\rb", LENGTH),
    "a NUL in a value": post(HOST, b"X-A: a\x00b", LENGTH),
    "a control character in a value": post(HOST, b"X-A: a\x01b", LENGTH),
    "a NUL in a name": post(HOST, b"X\x00A: b", LENGTH),
    "a space in a name": post(HOST, b"X A: b", LENGTH),
    "a space before the colon": post(HOST, b"X-A : b", LENGTH),
    "an empty name": post(HOST, b": b", LENGTH),
    "a field without a colon": post(HOST, b"nonsense", LENGTH),
    "a control character in the target": post(HOST, LENGTH, target=b"/api/gen\x01erate"),
    "a space in the target": post(HOST, LENGTH, target=b"/api/gen erate"),
    "a NUL in the target": post(HOST, LENGTH, target=b"/api/gen\x00erate"),
    "two hosts": post(HOST, b"Host: other", LENGTH),
    "an absolute target for another host than Host": post(HOST, LENGTH, target=b"http://other/api/generate"),
    "an absolute target with a user": post(HOST, LENGTH, target=b"http://localhost@localhost/api/generate"),
    "an absolute target without a host": post(HOST, LENGTH, target=b"http:///api/generate"),
    "an absolute target of another scheme": post(HOST, LENGTH, target=b"ftp://localhost/api/generate"),
    "no host": post(LENGTH),
    "an unknown version": post(HOST, LENGTH, version=b"HTTP/3.7"),
    "no version": b"POST /api/generate\r\n" + HOST + b"\r\n\r\n",
    "an unknown method of one letter": b"Q /api/generate HTTP/1.1\r\n" + HOST + b"\r\n\r\n",
    "a TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x5a" * 60,
    "HTTP/2 with prior knowledge": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
}


@pytest.mark.parametrize("name", ATTACKS)
def test_ambiguous_requests_are_refused_and_closed(guarded, name):
    herd, backend = guarded
    before = len(backend.seen)
    with Connection(herd.url, timeout=5) as connection:
        connection.send_raw(ATTACKS[name])
        # What hides behind the ambiguity must not become a request either.
        try:
            connection.send_raw(SMUGGLED)
        except OSError:
            pass
        try:
            answer = connection.answer()
            assert 400 <= answer.status < 600 and answer.status != 404, answer
            rest = connection.closed_by_peer(5)
        except ConnectionError:
            rest = True  # closed without a word is fine for what is no HTTP at all
        assert rest, "the connection stayed open, or a second answer came"
    assert request(herd.url, path="/api/version").status == 200
    assert len(backend.seen) == before, "%r reached the node" % [(e.method, e.target, e.headers) for e in backend.seen[before:]]


@pytest.mark.parametrize("name,status,raw", [
    ("a head of 64 KiB", 431, post(HOST, *[b"X-%d: %s" % (i, b"a" * 1000) for i in range(64)], LENGTH)),
    ("ten thousand fields", 431, post(HOST, *[b"X-%d: a" % i for i in range(10000)], LENGTH)),
    ("one endless field", 431, post(HOST, b"X-A: " + b"a" * 100000, LENGTH)),
    ("an endless target", 414, b"GET /" + b"a" * 100000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n"),
], ids=["head", "fields", "field", "target"])
def test_oversized_heads_have_their_status(guarded, name, status, raw):
    herd, backend = guarded
    before = len(backend.seen)
    with Connection(herd.url, timeout=5) as connection:
        try:
            connection.send_raw(raw)
        except OSError:
            pass
        assert connection.answer().status == status
        assert connection.closed_by_peer(5)
    assert len(backend.seen) == before


def test_a_body_over_the_limit_is_413_before_it_is_read(fleet):
    with ScriptedOllama() as backend:
        herd = fleet.static(backend, config="[proxy]\nmax_body = \"1MiB\"\n")
        with Connection(herd.url, timeout=5) as connection:
            connection.send_raw(post(HOST, b"Content-Length: 2000000", body=b""))
            assert connection.answer().status == 413
        with Connection(herd.url, timeout=5) as connection:
            connection.send_raw(post(HOST, CHUNKED, body=b""))
            try:
                for _ in range(20):
                    connection.send_raw(b"20000\r\n" + b" " * 0x20000 + b"\r\n")
            except OSError:
                pass
            assert connection.answer().status == 413
        assert not backend.seen


def test_refusals_name_the_reason_in_the_dialect_of_the_path(guarded):
    herd, _ = guarded
    for path, inside in (("/api/chat", lambda e: e["error"]), ("/v1/chat/completions", lambda e: e["error"]["message"]),
                         ("/v1/messages", lambda e: e["error"]["message"])):
        answer = request(herd.url, "POST", path, b"{bad")
        assert answer.status == 400 and inside(answer.json()), answer
        assert answer.header("X-Herd-Request-Id")


def test_pipelined_requests_are_answered_in_order(guarded):
    herd, backend = guarded

    def script(exchange):
        number = json.loads(exchange.body)["number"]
        if number == 1:
            wait_until(lambda: True, "nothing")
        exchange.answer(200, {"number": number})

    backend.script, old = script, backend.script
    try:
        with Connection(herd.url, timeout=10) as connection:
            burst = b""
            for number in range(1, 9):
                body = json.dumps({"model": "m", "prompt": "x", "number": number}).encode()
                burst += b"POST /api/generate HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body) + body
            connection.send_raw(burst + b"GET /api/version HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert [connection.answer().json()["number"] for _ in range(8)] == list(range(1, 9))
            assert "version" in connection.answer().json()
    finally:
        backend.script = old


def test_a_target_in_absolute_form_is_served_and_goes_to_the_node_in_origin_form(guarded):
    herd, backend = guarded
    with Connection(herd.url, 10) as connection:
        connection.send_raw(post(HOST, LENGTH, target=b"HTTP://LocalHost:80/api/generate?x=1"))
        assert connection.answer("POST").status == 200
        assert backend.seen[-1].target == "/api/generate?x=1"
        connection.send_raw(b"GET http://localhost HTTP/1.1\r\n" + HOST + b"\r\n\r\n")
        assert connection.answer("GET").body == b"Ollama is running"


def test_http_1_0_is_answered_and_closed(guarded):
    herd, _ = guarded
    with Connection(herd.url, timeout=5) as connection:
        connection.send_raw(b"GET /api/version HTTP/1.0\r\n\r\n")
        assert connection.answer().status == 200
        assert connection.closed_by_peer(5)


def test_connection_close_is_honoured(guarded):
    herd, _ = guarded
    with Connection(herd.url, timeout=5) as connection:
        connection.send("GET", "/api/version", headers={"Connection": "close"})
        answer = connection.answer()
        assert answer.status == 200 and answer.header("connection", "").lower() == "close"
        assert connection.closed_by_peer(5)


def test_an_offer_of_http_2_is_ignored_and_another_upgrade_refused(guarded):
    """Java's client and `curl --http2` offer h2c with every first request; nothing that herd stands before speaks websocket."""
    herd, _ = guarded
    answer = request(herd.url, path="/api/version", headers={"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AAMAAABkAAQAAP__"})
    assert answer.status == 200 and answer.header("upgrade") is None
    assert request(herd.url, path="/api/version", headers={"Connection": "Upgrade", "Upgrade": "websocket"}).status in (200, 400)


def test_what_the_node_sees_is_clean(guarded):
    herd, backend = guarded
    before = len(backend.seen)
    request(herd.url, "POST", "/api/generate", {"model": "m", "prompt": "x"},
            {"Origin": "http://localhost:3000", "Connection": "close, X-Secret", "X-Secret": "1", "Keep-Alive": "5", "TE": "trailers",
             "Proxy-Authorization": "Basic eA==", "User-Agent": "GitHubCopilotChat/1", "X-Herd-Session": "s"})
    sent = backend.seen[before]
    assert sent.header("Host") == "127.0.0.1:%d" % backend.port
    assert sent.header("User-Agent") == "GitHubCopilotChat/1"
    for name in ("Origin", "X-Secret", "Keep-Alive", "TE", "Proxy-Authorization"):
        assert sent.header(name) is None, name
    assert sent.body == json.dumps({"model": "m", "prompt": "x"}).encode()


def test_a_body_reaches_the_node_byte_for_byte(guarded):
    herd, backend = guarded
    odd = b' {\n"prompt" :"\\u00e9 \xc3\xa9","stream":false , "MODEL":"m","x":1e3,"x":2 }  \n'
    before = len(backend.seen)
    assert request(herd.url, "POST", "/api/generate", odd).status == 200
    assert backend.seen[before].body == odd


def test_a_connection_that_says_nothing_costs_nothing_for_long(guarded):
    herd, _ = guarded
    idle = [socket.create_connection((Connection(herd.url).host, int(herd.url.rsplit(":", 1)[1]))) for _ in range(200)]
    try:
        assert request(herd.url, path="/api/version").status == 200
    finally:
        for connection in idle:
            connection.close()


def test_a_herd_on_loopback_refuses_foreign_host_names_as_ollama_does(fleet):
    """A page of evil.example, rebound to 127.0.0.1, is same-origin with us: only its Host tells. herd's own routes say why."""
    with ScriptedOllama() as backend:
        herd = fleet.static(backend, config='[cors]\nhosts = ["herd.example"]\n')

        def status(host, path="/api/tags", method="GET"):
            answer = request(herd.url, method, path, headers={"Host": host})
            own = path.startswith("/herd/") or path in ("/healthz", "/metrics", "/dashboard")
            assert answer.status != 403 or ("[cors] hosts" in answer.json()["error"] if own else answer.body == b""), (path, answer)
            return answer.status
        for path in ("/api/tags", "/", "/v1/models", "/herd/v1/nodes", "/herd/v1/config", "/healthz"):
            assert status("evil.example", path) == 403, path
            assert status("localhost:1234", path) == 200 and status("herd.example", path) == 200, path
        assert status("evil.example", "/api/chat", "POST") == 403
        for method, path in (("POST", "/herd/v1/nodes/x/drain"), ("GET", "/metrics"), ("GET", "/dashboard")):
            assert status("evil.example", path, method) == 403, path
        assert status("evil.example", "/api/tags", "OPTIONS") == 403 and status("localhost", "/api/tags", "OPTIONS") == 204
        assert status("203.0.113.9") == 403 and status("10.1.2.3") == 200 and status("box.local") == 200
        assert not backend.seen


@pytest.mark.parametrize("path,where", [("/api/tags", ("error",)), ("/v1/models", ("error", "message")), ("/v1/messages", ("error", "message"))])
@pytest.mark.parametrize("status", [400, 414, 431])
def test_a_head_that_is_refused_is_answered_in_the_dialect_of_its_path(fleet, path, where, status):
    backend = ScriptedOllama()
    herd = fleet.static(backend)
    line = "GET %s HTTP/1.1\r\n" % (path + "/" + "a" * 9000 if status == 414 else path)
    fields = {400: "Bad Name: x\r\n", 414: "", 431: "X: " + "x" * 40000 + "\r\n"}[status]
    with Connection(herd.url, 10) as connection:
        connection.send_raw((line + "Host: herd\r\n" + fields + "\r\n").encode())
        answer = connection.answer()
    said = answer.json()
    for name in where:
        said = said[name]
    assert answer.status == status and isinstance(said, str) and said, answer
    assert (said == answer.json()["error"]) == (path == "/api/tags")
    assert not backend.seen
