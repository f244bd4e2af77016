"""The same requests made directly and through herd: clients must not be able to tell."""
import json

import pytest

from harness import Connection, request
from harness.compare import differences, headers_of, masked
from harness.ollama import TEXT
from ollama_requests import REQUESTS, USER

pytestmark = pytest.mark.real
HERD_ALWAYS = ("X-Herd-Request-Id", "X-Herd-Node", "X-Herd-Model", "X-Herd-Retries", "X-Herd-Queue-Ms")


@pytest.mark.parametrize("name,method,path,body,how", REQUESTS, ids=[row[0].replace(" ", "-") for row in REQUESTS])
def test_an_answer_through_herd_is_the_answer_of_the_node(real_herd, ollama, name, method, path, body, how):
    if "tiny" in str(body) and path.startswith(("/api/chat", "/api/generate", "/v1/")):  # a first load makes its own differences
        request(ollama.url, "POST", "/api/generate", {"model": "tiny"})
    direct = ollama.ask(method, path, body)
    through = request(real_herd.url, method, path, body)
    if how == "error":
        assert 400 <= through.status < 500 and "error" in through.json(), through
    elif how == "status":
        assert direct.status == through.status, (direct, through)
        assert method != "HEAD" or through.body == b""
    else:
        assert differences(direct, through, how) == []


def test_inference_says_where_it_ran(real_herd):
    answer = real_herd.chat("tiny")
    for name in HERD_ALWAYS:
        assert answer.header(name) is not None, (name, answer.headers)
    assert answer.header("X-Herd-Node") == "box" and answer.header("X-Herd-Retries") == "0"
    assert answer.header("X-Herd-Model") in ("tiny", "tiny:latest") and float(answer.header("X-Herd-Queue-Ms")) >= 0


def test_a_request_id_that_the_client_chose_comes_back_and_others_differ(real_herd):
    first, second = real_herd.chat("tiny"), real_herd.chat("tiny")
    assert first.header("X-Herd-Request-Id") != second.header("X-Herd-Request-Id")
    chosen = real_herd.chat("tiny", headers={"X-Request-Id": "my-own-id-7"})
    assert "my-own-id-7" in (chosen.header("X-Herd-Request-Id"), chosen.header("X-Request-Id"))


@pytest.mark.parametrize("path,body", [
    ("/api/chat", {"model": "tinyloop", "messages": USER, "options": {"num_predict": 60}}),
    ("/api/generate", {"model": "tinyloop", "prompt": "x", "options": {"num_predict": 60}}),
    ("/v1/chat/completions", {"model": "tinyloop", "messages": USER, "stream": True, "max_tokens": 60, "temperature": 0}),
    ("/v1/completions", {"model": "tinyloop", "prompt": "x", "stream": True, "max_tokens": 60, "temperature": 0})], ids=["chat", "generate", "v1-chat", "v1-completions"])
def test_a_stream_has_the_same_documents_in_the_same_order(real_herd, ollama, path, body):
    direct, through = ollama.ask("POST", path, body), request(real_herd.url, "POST", path, body)
    if path.startswith("/api"):
        assert masked(direct.lines()) == masked(through.lines())
        assert len(through.lines()) >= 60 and through.lines()[-1]["done"] is True
    else:
        assert masked(direct.events()) == masked(through.events())
        assert through.events()[-1] == (None, "[DONE]")
    assert headers_of(direct) == headers_of(through)
    assert through.ended


def test_an_answer_keeps_its_connection_for_the_next_request(real_herd):
    with Connection(real_herd.url) as connection:
        for _ in range(3):
            assert connection.request("POST", "/api/generate", {"model": "tiny", "prompt": "x", "stream": False}).json()["response"].strip() == TEXT
        streamed = connection.request("POST", "/api/generate", {"model": "tiny", "prompt": "x"})
        assert "".join(line.get("response", "") for line in streamed.lines()).strip() == TEXT
        assert connection.request("GET", "/api/version").status == 200


def test_chunked_request_bodies_arrive(real_herd):
    body = json.dumps({"model": "tiny", "prompt": "x", "stream": False}).encode()
    with Connection(real_herd.url) as connection:
        connection.send("POST", "/api/generate", b"%x\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n" % (9, body[:9], len(body) - 9, body[9:]),
                        {"Transfer-Encoding": "chunked"})
        assert connection.answer().json()["response"].strip() == TEXT


def test_expect_100_continue_is_honoured(real_herd):
    body = json.dumps({"model": "tiny", "prompt": "x", "stream": False}).encode()
    with Connection(real_herd.url, timeout=5) as connection:
        connection.send_raw(b"POST /api/generate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n" % len(body))
        assert connection._line() == b"HTTP/1.1 100 Continue"
        assert connection._line() == b""
        connection.send_raw(body)
        assert connection.answer().json()["response"].strip() == TEXT


def test_copies_and_deletions_answer_as_ollama_does(real_herd, ollama):
    for url in (ollama.url, real_herd.url):
        steps = [request(url, "POST", "/api/copy", {"source": "tiny", "destination": "twin"}),
                 request(url, "POST", "/api/show", {"model": "twin"}),
                 request(url, "DELETE", "/api/delete", {"model": "twin"}),
                 request(url, "DELETE", "/api/delete", {"model": "twin"})]
        if url == ollama.url:
            direct = steps
    assert [a.status for a in direct] == [200, 200, 200, 404]
    for a, b in zip(direct[:3], steps[:3]):
        assert differences(a, b) == []
    assert differences(direct[3], steps[3], "shape") == []


def test_create_streams_the_same_progress(real_herd, ollama):
    make = {"model": "made", "from": "tiny", "parameters": {"num_ctx": 1024}}
    answers = []
    for url in (ollama.url, real_herd.url):
        answers.append(request(url, "POST", "/api/create", make))
        assert request(url, "DELETE", "/api/delete", {"model": "made"}).status == 200
    assert differences(*answers) == []
    assert answers[1].lines()[-1] == {"status": "success"}
