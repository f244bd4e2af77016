"""ollama-sim answers as the recorded Ollama did (tests/ollama-sim/ollama-probe.txt).

Part 1 of the recording is compared answer by answer; of part 3, how streams end, the shapes are.
"""
import http.client
import json
import re
from urllib.parse import urlsplit

import pytest

from harness.programs import ROOT, Fleet, program

RECORDING = (ROOT / "tests/ollama-sim/ollama-probe.txt").read_text()
# What the simulator does not have: the list of a cloud it cannot reach.
ABSENT = {"/api/experimental/model-recommendations"}


def part(number):
    begin = RECORDING.index("# Part %d" % number)
    end = RECORDING.find("# Part %d" % (number + 1))
    return RECORDING[begin:end if end > 0 else None]


def recorded_answers():
    """(method, target, headers, body, status, answer body) of each exchange of part 1."""
    text = RECORDING[:RECORDING.index("# Part 2")]
    for block in re.split(r"(?m)^>>> ", text)[1:]:
        asked, answered = block.split("\n", 1)
        method, target, headers, body = re.match(r"(\S+) (\S+) map\[(.*?)\] ?(.*)$", asked).groups()
        head = re.match(r"<<< (\d+)[^\n]*\n?", answered)
        fields = dict(re.findall(r"([A-Za-z-]+):(.*?)(?= [A-Z][A-Za-z-]+:|$)", headers))
        if target not in ABSENT:
            yield method, target, fields, body, int(head.group(1)), answered[head.end():].rstrip("\n")


def mask(text):
    return re.sub(r"req_[0-9a-f]{24}", "req_", text).replace("/models/", "MODELS/").rstrip("\n")


def ask(url, method, target, headers, body):
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
    connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
    for name, value in ({"Host": "127.0.0.1:11434"} | headers).items():
        connection.putheader(name, value)
    data = body.encode() if method in ("POST", "DELETE") else None
    if data is not None:
        connection.putheader("Content-Length", str(len(data)))
    connection.endheaders(data)
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


@pytest.fixture(scope="module")
def empty_sim(tmp_path_factory):
    if not program("ollama-sim"):
        pytest.skip("ollama-sim is not built")
    with Fleet(tmp_path_factory.mktemp("sim")) as fleet:
        sim = fleet.sim("none", "--version-string", "0.0.0")
        hello = "/api/blobs/sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
        assert ask(sim.url, "POST", hello, {}, "hello")[0] == 201  # the recording's box had it
        yield sim


@pytest.mark.parametrize("exchange", list(recorded_answers()),
                         ids=lambda e: re.sub(r"\W+", "-", "%s-%s-%s" % (e[0], e[1], e[3][:40])).strip("-"))
def test_it_answers_as_recorded(empty_sim, exchange):
    method, target, headers, body, status, expected = exchange
    got_status, got = ask(empty_sim.url, method, target, headers, body)
    assert got_status == status
    if method != "HEAD":
        assert mask(got) == mask(expected)


def shape(value):
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [shape(inner) for inner in value]
    return type(value).__name__


def holds(recorded, seen):
    """Everything recorded is there, with the same types."""
    if isinstance(recorded, dict):
        return isinstance(seen, dict) and all(key in seen and holds(recorded[key], seen[key]) for key in recorded)
    if isinstance(recorded, list):
        return isinstance(seen, list) and len(recorded) == len(seen) and all(map(holds, recorded, seen))
    return recorded == seen


def documents(text):
    """The JSON documents of a stream in order; [DONE] and event names as they are."""
    found = []
    for line in text.splitlines():
        line = line.removeprefix("data:").strip()
        if line.startswith("{"):
            found.append(json.loads(line))
        elif line:
            found.append(line)
    return found


def recorded_endings():
    for block in re.split(r"(?m)^>>> ", part(3))[1:]:
        first, rest = block.split("\n", 1)
        path, before, end = re.match(r"(\S+) pre=(\d) end=(\w+)", first).groups()
        if path != "/v1/responses":  # its bookkeeping fields are not simulated
            head, body = rest.split("\n", 1)
            yield path, int(before), end, int(head.split()[1]), body


@pytest.mark.parametrize("ending", list(recorded_endings()), ids=lambda e: "%s-%d-%s" % (e[0].strip("/").replace("/", "-"), e[1], e[2]))
def test_its_streams_end_as_recorded(tmp_path, ending):
    path, before, end, status, body = ending
    if not program("ollama-sim"):
        pytest.skip("ollama-sim is not built")
    with Fleet(tmp_path) as fleet:
        sim = fleet.sim("m", "--load-rate", "1TB")
        if end == "err":
            sim.fault("error", after=before, error="boom")
        elif end == "none":
            sim.fault("truncate", after=before)
        request = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "hi"}], "prompt": "hi",
                   "max_tokens": 1, "options": {"num_predict": 1}, "stream_options": {"include_usage": path == "/v1/chat/completions"}}
        got_status, got = ask(sim.url, "POST", path, {}, json.dumps(request))
    assert got_status == status
    expected, seen = documents(body), documents(got)
    assert len(seen) == len(expected), got
    for one, other in zip(expected, seen):
        assert holds(shape(one), shape(other)), (one, other)
