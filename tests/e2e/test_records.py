"""What herd remembers and tells of the requests it served: records, usage, events, metrics, the access line."""
import json
import re
import selectors
import shutil
import socket
import sqlite3
import stat
import subprocess
import threading
import time

import pytest

from harness import Connection, report, request, wait_until
from harness.programs import ROOT, program, stream

MODEL = "llama3.2:3b"
CHAT = {"model": MODEL, "messages": [{"role": "user", "content": "tell me a secret: swordfish"}], "options": {"num_predict": 20}}


def records(herd, query=""):
    return herd.get("/herd/v1/requests" + query).json()["requests"]


@pytest.fixture
def herd(sim_fleet):
    return sim_fleet.static(sim_fleet.sim(), sim_fleet.sim())


# -------------------------------------------------------------------------------------------------------- records

def test_every_request_leaves_a_record_at_once(herd):
    answer = herd.chat(MODEL, headers={"X-Herd-Tags": "nightly, report", "X-Herd-Session": "s1", "X-Herd-Priority": "batch"})
    record = records(herd)[0]
    assert record["id"] == answer.header("X-Herd-Request-Id")
    assert record["status"] == 200 and record["termination"] == "--" and record["node"] == answer.header("X-Herd-Node")
    assert record["model"] == MODEL and record["api"] == "ollama" and record["path"] == "/api/chat" and not record["stream"]
    assert record["tags"] == ["nightly", "report"] and record["session"] == "s1" and record["priority"] == "batch"
    assert record["prompt_tokens"] > 0 and record["output_tokens"] > 0 and record["tokens_per_s"] > 0
    assert 0 <= record["queue_ms"] <= record["ttft_ms"] <= record["total_ms"]
    assert record["attempts"] == [{"node": record["node"], "outcome": "served", "ms": record["attempts"][0]["ms"]}]
    one = herd.get("/herd/v1/requests/" + record["id"]).json()
    assert "decision" in one and {**record, **one} == one
    assert herd.get("/herd/v1/requests/nobody").status == 404


def test_one_record_tells_what_was_asked_for_and_what_ran(herd):
    herd.chat(MODEL)
    body = {**CHAT, "stream": False, "options": {"num_predict": 3, "num_ctx": 8192}}
    for _ in range(2):  # the second one runs in the context that the first one loaded
        asked = herd.post("/api/chat", body, headers={"User-Agent": "my-app/1.2", "X-Herd-Session": "s7"})
        assert asked.status == 200
    wait_until(lambda: any(one["context_length"] == 8192 for node in herd.nodes() for one in node["loaded"]), "the node to tell of it")
    last = herd.post("/api/chat", body, headers={"User-Agent": "my-app/1.2", "X-Herd-Session": "s7"}).header("X-Herd-Request-Id")
    one = herd.get("/herd/v1/requests/" + last).json()
    assert one["num_ctx_asked"] == 8192 and one["num_ctx_used"] == 8192 and one["done_reason"] == "length", one
    assert one["user_agent"] == "my-app/1.2" and one["labels"] == [] and one["affinity"] in ("hit", "new")
    assert "prompt_eval_ms" in one and "eval_ms" in one and "node_queue_ms" in one
    assert "user_agent" not in records(herd)[0], "lists stay short"


def test_requests_are_filtered_and_paged(herd):
    for i in range(7):
        assert herd.chat(MODEL, options={"num_predict": 1}, headers={"X-Herd-Tags": "t%d" % (i % 2)}).status == 200
    assert herd.chat("no-such-model").status == 404
    assert [one["status"] for one in records(herd, "?limit=2")] == [404, 200]
    assert {one["status"] for one in records(herd, "?status=4xx")} == {404}
    assert len(records(herd, "?tag=t1")) == 3 and len(records(herd, "?model=%s&status=ok" % MODEL)) == 7
    assert len(records(herd, "?node=b1")) + len(records(herd, "?node=b2")) == 7
    assert records(herd, "?since=1h") and not records(herd, "?since=2099-01-01T00:00:00Z")
    seen, query = [], "?limit=3"
    while query:
        page = herd.get("/herd/v1/requests" + query).json()
        seen += [one["id"] for one in page["requests"]]
        query = "?limit=3&before=" + page["next"] if "next" in page else None
    assert len(seen) == len(set(seen)) == 8
    wrong = herd.get("/herd/v1/requests?limt=3")
    assert wrong.status == 400 and "limit" in wrong.json()["error"]


def test_a_request_in_flight_can_be_seen(herd):
    connection, answer, pieces = stream(herd.url, "/api/chat", {**CHAT, "options": {"num_predict": 5000}})
    next(pieces)
    seen = records(herd, "?status=in_flight")
    assert len(seen) == 1 and seen[0]["phase"] == "streaming" and seen[0]["node"] == answer.header("X-Herd-Node")
    assert herd.get("/herd/v1/requests/" + seen[0]["id"]).json()["phase"] == "streaming"
    connection.close()
    wait_until(lambda: not records(herd, "?status=in_flight"), "the end of it")
    record = records(herd)[0]
    assert record["status"] == 200 and record["termination"] == "CD" and record["attempts"][0]["outcome"] == "cancelled"


def test_a_failover_is_told_attempt_by_attempt(sim_fleet):
    sims = [sim_fleet.sim(), sim_fleet.sim()]
    herd = sim_fleet.static(*sims)
    first = herd.chat(MODEL).header("X-Herd-Node")  # where the model is loaded now, so the next one goes there too
    sims[int(first[1]) - 1].fault("reset", count=2)  # two: a kept connection that dies is replaced once without counting
    answer = herd.chat(MODEL)
    assert answer.status == 200 and answer.header("X-Herd-Retries") == "1" and answer.header("X-Herd-Node") != first
    record = records(herd)[0]
    assert [(one["node"], one["outcome"]) for one in record["attempts"]] == [(first, "broken"), (record["node"], "served")]
    decision = herd.get("/herd/v1/requests/" + record["id"]).json()["decision"]
    assert decision["chosen"] == record["node"] and decision["candidates"]


def test_the_verbs_show_requests(herd):
    ids = [herd.chat(MODEL).header("X-Herd-Request-Id") for _ in range(2)]

    def verb(*arguments):
        return subprocess.run([program("herd"), *arguments, "--url", herd.url], capture_output=True, text=True, timeout=20)
    listed = verb("requests")
    assert listed.returncode == 0 and [line.split()[1] for line in listed.stdout.splitlines()[1:]] == ids
    assert [one["id"] for one in json.loads(verb("requests", "--limit", "1", "--json").stdout)["requests"]] == ids[1:]
    assert "no requests" in verb("requests", "--status", "failed").stdout
    assert verb("requests", "--status", "sideways").returncode == 1
    why = verb("why", ids[0])
    assert why.returncode == 0 and MODEL in why.stdout
    follower = subprocess.Popen([program("herd"), "requests", "--follow", "--json", "--url", herd.url], stdout=subprocess.PIPE, text=True)
    try:
        wait_until(lambda: re.search(r"^herd_event_viewers 1$", herd.get("/metrics").body.decode(), re.M), "the follower")
        third = herd.chat(MODEL).header("X-Herd-Request-Id")
        assert json.loads(follower.stdout.readline())["id"] == third
    finally:
        follower.kill()
        follower.wait()


def test_tags_come_from_body_and_header(herd):
    body = {**CHAT, "stream": False, "metadata": {"tags": ["inner", "both"]}, "user": "ann"}
    assert herd.post("/v1/chat/completions", body, headers={"X-Herd-Tags": "both, outer"}).status == 200
    assert records(herd)[0]["tags"] == ["inner", "both", "outer", "user:ann"]


def test_no_prompt_and_no_answer_is_kept(sim_fleet, tmp_path):
    herd = sim_fleet.static(sim_fleet.sim())
    assert b"swordfish" not in herd.post("/api/chat", {**CHAT, "stream": False}).body
    herd.post("/api/chat", {**CHAT, "model": "unknown"})
    assert len(records(herd)) == 2
    herd.stop()
    for path in sim_fleet.folder.rglob("*"):
        if path.is_file() and "sim" not in path.name:
            assert b"swordfish" not in path.read_bytes(), path


# ----------------------------------------------------------------------------------------------------- durability

def test_records_survive_a_restart_and_the_file_is_private(sim_fleet):
    sim = sim_fleet.sim()
    herd = sim_fleet.static(sim)
    first = herd.chat(MODEL).header("X-Herd-Request-Id")
    assert herd.stop() == 0
    path = sim_fleet.folder / "herd" / "requests.db"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    herd = sim_fleet.static(sim)
    assert [one["id"] for one in records(herd)] == [first]
    second = herd.chat(MODEL).header("X-Herd-Request-Id")
    assert [one["id"] for one in records(herd)] == [second, first]


def test_a_kill_costs_at_most_the_last_second(sim_fleet):
    sim = sim_fleet.sim()
    herd = sim_fleet.static(sim)
    ended = []
    stop = threading.Event()

    def ask():
        while not stop.is_set():
            try:
                answer = herd.chat(MODEL, options={"num_predict": 1}, timeout=5)
            except OSError:
                return
            if answer.status == 200 and answer.ended:
                ended.append((time.monotonic(), answer.header("X-Herd-Request-Id")))
    threads = [threading.Thread(target=ask, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(ended) > 40 and ended[-1][0] - ended[0][0] > 1.5, "some traffic", 30)
    herd.kill()
    killed = time.monotonic()
    stop.set()
    for thread in threads:
        thread.join(10)
    sane = sqlite3.connect("file:%s?mode=ro" % (sim_fleet.folder / "herd" / "requests.db"), uri=True)
    assert sane.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    kept = {row[0] for row in sane.execute("SELECT id FROM requests")}
    sane.close()
    due = [request_id for at, request_id in ended if at < killed - 1]
    assert due and not [one for one in due if one not in kept]
    lost = [at for at, one in ended if one not in kept]
    report("kill -9: %d of %d records lost, the oldest %.0f ms before the end" % (len(lost), len(ended), 1000 * (killed - min(lost, default=killed))))
    again = sim_fleet.static(sim)
    assert len(records(again, "?limit=1000")) == len(kept)


def test_a_broken_database_costs_no_request(sim_fleet):
    folder = sim_fleet.folder / "herd"
    folder.mkdir(parents=True)
    (folder / "requests.db").write_bytes(b"no database at all " * 1000)
    herd = sim_fleet.static(sim_fleet.sim())
    assert herd.chat(MODEL).status == 200 and len(records(herd)) == 1
    herd.line("records_set_aside")
    assert (folder / "requests.db.bad").exists()


def test_a_database_that_cannot_be_written_costs_no_request(sim_fleet):
    (sim_fleet.folder / "herd" / "requests.db").mkdir(parents=True)
    herd = sim_fleet.static(sim_fleet.sim())
    for _ in range(3):
        assert herd.chat(MODEL).status == 200
    assert len(records(herd)) == 3, "the last ones are known without a disk"
    herd.line("records_not_kept")
    time_to_see = wait_until(lambda: re.search(r"^herd_records_dropped_total ([1-9]\d*)", herd.get("/metrics").body.decode(), re.M), "the drops in the metrics")
    assert time_to_see and herd.output().count("records_not_kept") == 1


def test_records_can_be_switched_off(sim_fleet):
    herd = sim_fleet.static(sim_fleet.sim(), config="[store]\nenabled = false\n")
    assert herd.chat(MODEL).status == 200 and len(records(herd)) == 1
    assert not (sim_fleet.folder / "herd" / "requests.db").exists()


# ---------------------------------------------------------------------------------------------------------- usage

def test_usage_adds_up(herd):
    for i in range(6):
        herd.chat(MODEL, options={"num_predict": 10}, headers={"X-Herd-Tags": "even" if i % 2 == 0 else "odd"})
    for by, names in (("model", {MODEL}), ("tag", {"even", "odd"}), ("node", None), ("client", {"127.0.0.1"}), ("key", {""})):
        usage = wait_until(lambda: (lambda u: u if sum(row["requests"] for row in u["rows"]) == 6 else None)(
            herd.get("/herd/v1/usage?by=%s&bucket=1d&since=24h" % by).json()), "six requests by %s" % by)
        assert names is None or {row["name"] for row in usage["rows"]} == names
        assert sum(row["output_tokens"] for row in usage["rows"]) == 60
        assert all(row["errors"] == 0 and row["ttft_ms"]["p50"] > 0 and row["tokens_per_s"]["p90"] > 0 for row in usage["rows"])
    assert herd.get("/herd/v1/usage?by=colour").status == 400


# --------------------------------------------------------------------------------------------------------- events

class Events:
    """A viewer: a thread that collects (id, event, data)."""

    def __init__(self, url, last_id=None):
        self.connection = Connection(url, 30)
        headers = [("Accept", "text/event-stream")] + ([("Last-Event-ID", last_id)] if last_id else [])
        self.connection.send("GET", "/herd/v1/events", headers=headers)
        self.answer = self.connection.head()
        self.seen, self.bytes, self.reads, self.ended = [], 0, 0, False
        self.thread = threading.Thread(target=self._read, daemon=True)
        if self.answer.status == 200:
            self.thread.start()

    def _read(self):
        text = b""
        try:
            for piece in self.connection.pieces(self.answer):
                self.bytes += len(piece)
                self.reads += 1
                text += piece
                while b"\n\n" in text:
                    block, text = text.split(b"\n\n", 1)
                    fields = dict(line.split(": ", 1) for line in block.decode().split("\n") if ": " in line and not line.startswith(":"))
                    if "data" in fields:
                        self.seen.append((fields.get("id"), fields.get("event"), json.loads(fields["data"])))
        except (OSError, ValueError):
            pass
        self.ended = True

    def of(self, name):
        return [data for _, event, data in list(self.seen) if event == name]

    def close(self):
        try:
            self.connection.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.connection.close()


def test_events_tell_the_state_and_what_changes(sim_fleet):
    sims = [sim_fleet.sim(), sim_fleet.sim()]
    herd = sim_fleet.static(*sims)
    viewer = Events(herd.url)
    assert viewer.answer.status == 200 and viewer.answer.header("content-type").startswith("text/event-stream")
    wait_until(lambda: {one["name"] for one in viewer.of("node")} == {"b1", "b2"} and viewer.of("status"), "the whole state")
    ids = [herd.chat(MODEL).header("X-Herd-Request-Id") for _ in range(3)]
    wait_until(lambda: [one["id"] for one in viewer.of("request")] == ids, "the three requests")
    herd.drain("b1")
    began = time.monotonic()
    wait_until(lambda: any(one["name"] == "b1" and one["state"] == "draining" for one in viewer.of("node")), "the drained node")
    assert time.monotonic() - began < 1
    flip = next(one for one in viewer.of("node") if one["name"] == "b1" and one["state"] == "draining")
    assert (flip["from"], flip["to"], flip["at"]) == ("online", "draining", herd.node("b1")["since"])
    herd.post("/herd/v1/nodes/b1/resume")
    wait_until(lambda: any((one.get("from"), one.get("to")) == ("draining", "online") for one in viewer.of("node")), "the way back")
    sims[1].kill()
    gone = wait_until(lambda: next((one for one in viewer.of("node") if one["name"] == "b2" and one["state"] in ("offline", "unreachable")), None), "the dead one", 20)
    assert gone["latency_ms"] is None and gone["to"] == gone["state"] != gone["from"], gone
    viewer.close()


def test_events_resume_where_they_were_cut_off(herd):
    viewer = Events(herd.url)
    wait_until(lambda: viewer.of("status"), "the state")
    first = herd.chat(MODEL).header("X-Herd-Request-Id")
    wait_until(lambda: viewer.of("request"), "the first request")
    last_id = viewer.seen[-1][0]
    viewer.close()
    second = herd.chat(MODEL).header("X-Herd-Request-Id")
    herd.chat(MODEL)
    again = Events(herd.url, last_id)
    wait_until(lambda: len(again.of("request")) >= 2, "what was missed")
    assert [one["id"] for one in again.of("request")][0] == second != first
    again.close()


def test_events_end_when_herd_stops(herd):
    viewer = Events(herd.url)
    wait_until(lambda: viewer.of("status"), "the state")
    began = time.monotonic()
    assert herd.stop() == 0
    assert time.monotonic() - began < 5, "a viewer must not hold up the end"
    wait_until(lambda: viewer.ended, "the end of the stream")
    assert viewer.answer.ended


def test_sixty_four_viewers_cost_little(sim_fleet):
    herd = sim_fleet.static(sim_fleet.sim())
    alone = cpu_at_200_per_second(herd)
    streams = []
    for _ in range(64):
        connection = Connection(herd.url)
        connection.send("GET", "/herd/v1/events")
        assert connection.head().status == 200
        streams.append(connection)
    one_more = Events(herd.url)
    assert one_more.answer.status == 503 and one_more.answer.header("Retry-After")
    stop = threading.Event()
    got = [0]
    thread = threading.Thread(target=swallow, args=(streams, stop, got), daemon=True)
    thread.start()
    watched = cpu_at_200_per_second(herd)
    stop.set()
    thread.join()
    cost = watched - alone
    report("64 viewers at 200 requests/s: %.1f %% of a core (%.1f %% without viewers), %.1f MB/s sent"
           % (100 * cost, 100 * alone, got[0] / SECONDS / 1e6))
    assert got[0] > 64 * 200 * SECONDS * 200, "they were told"
    assert cost < 0.1
    streams[0].close()
    wait_until(lambda: (lambda v: v.close() or v.answer.status == 200)(Events(herd.url)), "the seat that became free")
    for connection in streams[1:]:
        connection.close()


SECONDS = 4


def cpu_at_200_per_second(herd):
    """Cores that herd uses while 200 small requests a second end."""
    with Connection(herd.url) as connection:
        connection.request("GET", "/api/version")
        before, began = herd.cpu_seconds(), time.monotonic()
        for i in range(200 * SECONDS):
            time.sleep(max(0.0, began + i / 200 - time.monotonic()))  # the pace is the test
            assert connection.request("GET", "/api/version").status == 200
        return (herd.cpu_seconds() - before) / (time.monotonic() - began)


def swallow(streams, stop, got):
    """Reads all streams on one thread."""
    with selectors.DefaultSelector() as selector:
        for connection in streams:
            connection.socket.setblocking(False)
            selector.register(connection.socket, selectors.EVENT_READ)
        while not stop.is_set():
            for key, _ in selector.select(0.1):
                data = key.fileobj.recv(1 << 20)
                assert data, "a viewer was dropped"
                got[0] += len(data)


# -------------------------------------------------------------------------------------------------------- metrics

LINE = re.compile(r'^([a-zA-Z_:][\w:]*)(?:\{((?:[a-zA-Z_]\w*="(?:[^"\\\n]|\\[\\n"])*",?)*)\})? (\S+)(?: \d+)?$')
NAMES = {"herd_requests_total", "herd_request_duration_seconds", "herd_ttft_seconds", "herd_queue_seconds", "herd_requests_in_flight",
         "herd_requests_queued", "herd_retries_total", "herd_failovers_total", "herd_tokens_total", "herd_node_up", "herd_node_state",
         "herd_node_memory_available_bytes", "herd_node_latency_seconds", "herd_discovery_datagrams_total", "herd_build_info",
         "herd_model_loads_total"}


def parse_metrics(text):
    """A strict reading of the text format: {family: {"type", "samples": {(name, labels): value}}}."""
    families, family = {}, None
    assert text.endswith("\n")
    for line in text.split("\n")[:-1]:
        if line.startswith("# HELP "):
            family = line.split(" ", 3)[2]
            assert family not in families, "a family twice: " + family
            families[family] = {"type": None, "samples": {}}
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name == family and kind in ("counter", "gauge", "histogram"), line
            families[family]["type"] = kind
        else:
            found = LINE.match(line)
            assert found, line
            name, labels, value = found.group(1), found.group(2) or "", float(found.group(3))
            suffixes = ("_bucket", "_sum", "_count") if families[family]["type"] == "histogram" else ("",)
            assert name in {family + suffix for suffix in suffixes}, line
            key = (name, tuple(sorted(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', labels))))
            assert key not in families[family]["samples"], "twice: " + line
            families[family]["samples"][key] = value
            assert families[family]["type"] == "gauge" or value >= 0, line
            assert not family.endswith("_total") or families[family]["type"] == "counter", line
    for name, family in families.items():
        if family["type"] == "histogram":
            check_histogram(name, family["samples"])
    return families


def check_histogram(name, samples):
    series = {}
    for (sample, labels), value in samples.items():
        if sample.endswith("_bucket"):
            rest = tuple(pair for pair in labels if pair[0] != "le")
            series.setdefault(rest, []).append((float(dict(labels)["le"]), value))
    for labels, buckets in series.items():
        buckets.sort()
        assert buckets[-1][0] == float("inf") and buckets[-1][1] == samples[(name + "_count", labels)], name
        assert all(a[1] <= b[1] for a, b in zip(buckets, buckets[1:])), name


def test_metrics_are_sound_and_count(sim_fleet):
    herd, nodes, sims = sim_fleet.simulated(2)
    for _ in range(3):
        herd.chat(MODEL, options={"num_predict": 10})
    herd.chat("no-such-model")
    answer = herd.get("/metrics")
    assert answer.status == 200 and answer.header("content-type").startswith("text/plain; version=0.0.4")
    families = parse_metrics(answer.body.decode())
    assert NAMES <= set(families), NAMES - set(families)
    requests = families["herd_requests_total"]["samples"]
    good = sum(value for (_, labels), value in requests.items() if dict(labels)["code"] == "200" and dict(labels)["model"] == MODEL)
    assert good == 3 and sum(requests.values()) >= 4
    tokens = families["herd_tokens_total"]["samples"]
    assert sum(value for (_, labels), value in tokens.items() if dict(labels)["kind"] == "output") == 30
    states = families["herd_node_state"]["samples"]
    assert sum(states.values()) == 2 and sum(families["herd_node_up"]["samples"].values()) == 2
    nodes[0].kill()
    wait_until(lambda: sum(parse_metrics(herd.get("/metrics").body.decode())["herd_node_up"]["samples"].values()) == 1, "one node down")


def test_metrics_are_read_by_the_official_parser(herd):
    parser = pytest.importorskip("prometheus_client.parser")
    herd.chat(MODEL)
    families = {family.name: family for family in parser.text_string_to_metric_families(herd.get("/metrics").body.decode())}
    assert families["herd_requests"].type == "counter" and families["herd_ttft_seconds"].type == "histogram"


def test_alerts_dashboard_and_list_name_what_there_is(herd):
    """A metric that is renamed must not leave a silent alert behind."""
    folder = ROOT / "docs" / "monitoring"
    listed = set(re.findall(r"`((?:herd|process)_\w+)`", (folder / "README.md").read_text()))
    used = set()
    for name in ("alerts.yml", "grafana-dashboard.json"):
        used |= {re.sub(r"_(bucket|sum|count)$", "", one) for one in re.findall(r"\b((?:herd|process)_\w+)", (folder / name).read_text())}
    assert used <= listed, used - listed
    herd.chat(MODEL)
    # What is judged once a second is there a little later than the rest.
    shown = wait_until(lambda: (lambda now: "herd_health_score" in now and now)(set(parse_metrics(herd.get("/metrics").body.decode()))), "the health score")
    assert shown <= listed, shown - listed
    promtool = shutil.which("promtool")
    if promtool:
        assert subprocess.run([promtool, "check", "rules", folder / "alerts.yml"], capture_output=True).returncode == 0
        answer = herd.get("/metrics").body
        assert subprocess.run([promtool, "check", "metrics"], input=answer, capture_output=True).returncode in (0, 3)  # 3: mere advice


# ----------------------------------------------------------------------------------------------------- access line

@pytest.mark.parametrize("form", ["text", "json"])
def test_one_access_line_per_request(sim_fleet, form):
    herd = sim_fleet.static(sim_fleet.sim(), config='[log]\nformat = "%s"\n' % form)
    answer = herd.chat(MODEL)
    herd.chat("no-such-model")
    request_id = answer.header("X-Herd-Request-Id")
    herd.line(r"request_done.*no-such-model")
    lines = [line for line in herd.output().split("\n") if "request_done" in line]
    assert len(lines) == 2 and request_id in lines[0]
    if form == "json":
        line = json.loads(lines[0])
        assert line["id"] == request_id and line["status"] == 200 and line["end"] == "--" and line["total_ms"] >= line["first_byte_ms"]
        assert json.loads(lines[1])["end"] == "PS"
    else:
        assert " end=-- " in lines[0] and " end=PS " in lines[1]


def test_what_never_reached_a_node_leaves_a_record_and_a_line_too(sim_fleet):
    herd, nodes, sims = sim_fleet.simulated(1)
    looked = herd.status()["requests"]["total"]  # waiting for the models asks for lists
    assert herd.chat(MODEL).status == 200
    assert request(herd.url, "POST", "/herd/v1/nodes/n1/drain").status == 200
    assert request(herd.url, "POST", "/herd/v1/nodes/nowhere/drain").status == 404
    assert request(herd.url, "GET", "/api/tags", headers={"Host": "evil.example"}).status == 403
    for path in ("/herd/v1/status", "/metrics", "/dashboard", "/herd/v1/nodes"):
        herd.get(path)
    rows = wait_until(lambda: (lambda all: len(all) >= looked + 4 and all)(records(herd)), "the records")[:-looked or None]
    assert len(rows) == 4, "what only looks leaves none: " + repr([(row["method"], row["path"]) for row in rows])
    seen = sorted((row["status"], row["api"], row["termination"], row["method"], row["path"]) for row in rows)
    assert seen == [(200, "admin", "--", "POST", "/herd/v1/nodes/n1/drain"), (200, "ollama", "--", "POST", "/api/chat"),
                    (403, "admin", "PR", "GET", "/api/tags"), (404, "admin", "--", "POST", "/herd/v1/nodes/nowhere/drain")], seen
    assert all(row["client"] == "127.0.0.1" and row["id"] for row in rows)
    lines = [line for line in herd.output().split("\n") if "request_done" in line]
    assert len(lines) == looked + 4
    assert herd.status()["requests"]["total"] == looked + 1, "only what was meant for the fleet"


def ask_raw(herd, data):
    """What comes back for bytes that need be no request, to the end of the connection."""
    host, port = herd.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    return answer


def test_every_answer_of_herds_own_routes_has_an_id_and_that_of_a_record_where_there_is_one(sim_fleet):
    herd = sim_fleet.herd(discovery=False)
    seen = set()
    for method, path, status in (("GET", "/herd/v1/nodes/nowhere", 404), ("GET", "/herd/v1/no", 404), ("POST", "/herd/v1/route", 400), ("POST", "/metrics", 405),
                                 ("POST", "/healthz", 405), ("GET", "/readyz", 503), ("GET", "/healthz", 200), ("GET", "/dashboard/assets/x", 404)):
        answer = request(herd.url, method, path)
        assert answer.status == status and answer.header("X-Herd-Request-Id"), (method, path, answer)
        seen.add(answer.header("X-Herd-Request-Id"))
    assert len(seen) == 8
    refused = herd.post("/herd/v1/nodes/nowhere/drain")
    foreign = request(herd.url, path="/herd/v1/status", headers={"Host": "evil.example"})
    assert (refused.status, foreign.status) == (404, 403)
    wait_until(lambda: {refused.header("X-Herd-Request-Id"), foreign.header("X-Herd-Request-Id")} <= {row["id"] for row in records(herd)}, "their records")


def test_what_the_server_refuses_by_itself_leaves_a_record_and_a_line(sim_fleet):
    herd = sim_fleet.herd(discovery=False)
    good = b"GET /api/version HTTP/1.1\r\nHost: localhost\r\n\r\n"
    refused = {400: b"GET /api/tags?key=s3cret HTTP/1.1\r\n\r\n", 414: b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nHost: herd\r\n\r\n",
               417: b"POST /api/chat?key=s3cret HTTP/1.1\r\nHost: herd\r\nExpect: miracles\r\nContent-Length: 0\r\n\r\n",
               431: b"GET / HTTP/1.1\r\nHost: herd\r\nX: " + b"x" * 40000 + b"\r\n\r\n", 501: b"BREW / HTTP/1.1\r\nHost: herd\r\n\r\n"}
    ids = {}
    for status, data in refused.items():
        answer = ask_raw(herd, good + data)
        assert answer.startswith(b"HTTP/1.1 200") and b"HTTP/1.1 %d " % status in answer, answer
        ids[status] = re.search(rb"X-Herd-Request-Id: (\w+)", answer.split(b"HTTP/1.1 %d " % status)[1]).group(1).decode()
    rows = {row["id"]: row for row in wait_until(lambda: (lambda all: len(all) >= 10 and all)(records(herd)), "the records")}
    for status, request_id in ids.items():
        row = rows[request_id]
        expected = ("ollama", "POST", "/api/chat") if status == 417 else ("admin", "", "")
        assert (row["status"], row["termination"], row["client"]) == (status, "PR", "127.0.0.1"), row
        assert (row["api"], row["method"], row["path"]) == expected and row["error"], row
    assert rows[ids[400]]["error"] == "Bad Request: Host"
    lines = [line for line in herd.output().split("\n") if "request_done" in line]
    assert all(any(request_id in line and "end=PR" in line for line in lines) for request_id in ids.values())
    assert "s3cret" not in herd.output() and "s3cret" not in json.dumps(rows)
    assert 'herd_requests_total{api="admin",code="431",model="",node=""} 1\n' in herd.get("/metrics").body.decode()
    assert herd.status()["requests"]["failed"] == 0


def test_a_flood_of_what_is_no_request_does_not_fill_the_store(sim_fleet):
    herd = sim_fleet.herd(discovery=False)
    for _ in range(300):
        assert b" 400 " in ask_raw(herd, b"nonsense\r\n\r\n")
    count = sum(row["status"] == 400 for row in records(herd, "?limit=1000"))
    assert 60 <= count <= 120, "sixty a minute; a minute may have begun meanwhile"
    text = herd.get("/metrics").body.decode()
    assert 'herd_requests_total{api="admin",code="400",model="",node=""} 300\n' in text, "none is forgotten"
    assert 'herd_requests_unrecorded_total{code="400"} %d\n' % (300 - count) in text
    assert "herd_records_dropped_total 0\n" in text


def test_a_request_and_a_connection_too_many_leave_records(sim_fleet):
    backend = sim_fleet.sim()
    herd = sim_fleet.static(backend, config="threads = 1\n[proxy]\nmax_in_flight = 1\nmax_connections = 3\n")
    backend.fault("hang")
    host, port = herd.url.removeprefix("http://").split(":")
    body = json.dumps(CHAT).encode()
    held = socket.create_connection((host, int(port)), timeout=10)
    held.sendall(b"POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    wait_until(lambda: herd.status()["requests"]["in_flight"] == 1, "one request that is held")
    refused = herd.chat(MODEL)
    assert refused.status == 503 and refused.header("Retry-After") == "1", refused
    row = records(herd)[0]
    assert row["id"] == refused.header("X-Herd-Request-Id") and row["api"] == "ollama" and row["error"] == "too many requests at once", row
    assert herd.status()["requests"]["failed"] == 1
    idle = [socket.create_connection((host, int(port)), timeout=10) for _ in range(2)]
    assert b" 503 " in ask_raw(herd, b"GET / HTTP/1.1\r\nHost: herd\r\n\r\n")
    for connection in idle:
        connection.close()
    row = wait_until(lambda: next((row for row in records(herd) if row.get("error", "").startswith("Service Unavailable")), None), "its record")
    assert (row["status"], row["api"], row["path"]) == (503, "admin", "") and row["error"].endswith("too many connections")
    held.close()
