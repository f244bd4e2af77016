"""The harness itself: what the other tests lean on has to hold without herd."""
import threading
import time

import pytest

from harness import Connection, Timeout, request, wait_until
from harness.compare import differences
from harness.lan import inside
from harness.process import Process
from harness.scripted import ScriptedOllama
from ollama_requests import REQUESTS


def test_waiting_says_what_it_waited_for():
    with pytest.raises(Timeout, match="the moon"):
        wait_until(lambda: False, "the moon", 0.05)


def test_a_process_is_watched_and_ended(tmp_path):
    process = Process(["sh", "-c", "echo ready on 42; sleep 60"], tmp_path / "log")
    assert process.line(r"ready on (\d+)").group(1) == "42"
    assert process.rss_bytes() > 0 and process.cpu_seconds() >= 0
    process.stop()
    assert not process.alive()


def test_a_program_that_dies_early_shows_its_words(tmp_path):
    process = Process(["sh", "-c", "echo port taken >&2; exit 1"], tmp_path / "log")
    with pytest.raises(AssertionError, match="port taken"):
        process.line("listening")
    process.stop()


def test_chunks_lengths_and_cut_streams_are_told_apart():
    def script(exchange):
        exchange.begin()
        exchange.chunk(b'{"a":1}\n')
        exchange.chunk(b'{"b":2}\n')
        if exchange.target == "/cut":
            exchange.reset()
        else:
            exchange.end()

    with ScriptedOllama(script=script) as backend:
        whole = request(backend.url, "POST", "/whole", {})
        assert whole.ended and whole.chunks == [b'{"a":1}\n', b'{"b":2}\n'] and whole.lines() == [{"a": 1}, {"b": 2}]
        assert not request(backend.url, "POST", "/cut", {}).ended
        probe = request(backend.url, path="/api/version")
        assert probe.ended and probe.json() == {"version": "0.11.4"}
        assert [exchange.target for exchange in backend.seen] == ["/whole", "/cut"]


def test_the_backend_sees_a_client_go():
    gone = threading.Event()

    def script(exchange):
        if exchange.wait_for_close(5):
            gone.set()

    with ScriptedOllama(script=script) as backend:
        with Connection(backend.url) as connection:
            connection.send("POST", "/x", {})
            backend.wait_for(1)
        assert gone.wait(2)


def test_differences_are_found_and_masks_hide_only_what_must_differ():
    def script(exchange):
        number = len(backend.seen)
        exchange.answer(200, {"model": exchange.target.strip("/"), "created_at": "2026-01-0%dT00:00:00Z" % number, "total_duration": number, "eval_count": 3})

    with ScriptedOllama(script=script) as backend:
        a, b, c = (request(backend.url, "POST", path, {}) for path in ("/a", "/a", "/b"))
        assert differences(a, b) == []
        assert any("body differs" in line for line in differences(a, c))
        assert differences(a, c, "shape") == []
        assert any("model" in line for line in differences(a, c, "contains"))


@pytest.mark.real
def test_ollama_agrees_with_itself_on_every_request_of_the_comparison(ollama):
    request(ollama.url, "POST", "/api/generate", {"model": "tiny"})
    found = []
    for name, method, path, body, how in REQUESTS:
        first, second = (request(ollama.url, method, path, body) for _ in range(2))
        found += ["%s: %s" % (name, line) for line in differences(first, second, "contains" if how == "contains" else "exact" if method != "HEAD" else "any")]
    assert not found, "\n".join(found)


@pytest.mark.root
def test_a_cut_cable_silences_one_host_and_loss_is_counted(network, tmp_path):
    lan = network.lan()
    a = network.host("a", lan, addresses=["10.9.0.1/24"])
    b = network.host("b", lan, addresses=["10.9.0.2/24"])
    server = Process(["python3", "-m", "http.server", "8000", "--bind", "10.9.0.2", "--directory", tmp_path], tmp_path / "log", namespace=b)
    with inside(a):
        wait_until(lambda: request("http://10.9.0.2:8000", path="/").status == 200, "a server across the switch")
        network.cut(b, lan)
        with pytest.raises(OSError):
            request("http://10.9.0.2:8000", path="/", timeout=0.3)
        network.mend(b, lan)
        wait_until(lambda: request("http://10.9.0.2:8000", path="/", timeout=0.5).status == 200, "the cable to be mended")
    network.lose(a, 50)
    server.stop()
    import socket
    with inside(b), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for _ in range(200):
            sender.sendto(b"x", ("10.9.0.1", 9))
    assert 50 < wait_until(lambda: network.lost(a), "losses") < 150


def test_nothing_of_a_namespace_leaks_out_of_the_block(network):
    host = network.host("x")
    before = open("/proc/thread-self/net/dev").read().count(":")
    with inside(host):
        assert open("/proc/thread-self/net/dev").read().count(":") < before
    assert open("/proc/thread-self/net/dev").read().count(":") == before
    assert time.monotonic() > 0
