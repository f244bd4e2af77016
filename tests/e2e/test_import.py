"""Settings of other programs of this kind, taken over: what `herd import` prints is a herd.toml that works. And their history."""
import json
import re
import sqlite3
import stat
import subprocess
import threading
import time

from harness import report, request, wait_until
from harness.programs import program
from harness.scripted import ScriptedOllama

FRONTENDS = """CREATE TABLE frontends (identifier VARCHAR(128) NOT NULL UNIQUE, name VARCHAR(128), hostname VARCHAR(128) NOT NULL, timeoutms INT NOT NULL,
loadbalancing VARCHAR(32) NOT NULL, blockhttp10 INT NOT NULL, maxrequestbodysize INT NOT NULL, backends VARCHAR(2048) NOT NULL, requiredmodels VARCHAR(2048) NOT NULL,
logrequestfull INT NOT NULL, logrequestbody INT NOT NULL, logresponsebody INT NOT NULL, usestickysessions INT NOT NULL, stickysessionexpirationms INT NOT NULL,
pinnedembeddingsprops VARCHAR(2048) NOT NULL, pinnedcompletionsprops VARCHAR(2048) NOT NULL, allowretries INT NOT NULL, allowembeddings INT NOT NULL,
allowcompletions INT NOT NULL, active INT NOT NULL, createdutc VARCHAR(64), lastupdateutc VARCHAR(64))"""
BACKENDS = """CREATE TABLE backends (identifier VARCHAR(128) NOT NULL UNIQUE, name VARCHAR(128), hostname VARCHAR(128), port INT NOT NULL, ssl INT NOT NULL,
unhealthythreshold INT NOT NULL, healthythreshold INT NOT NULL, healthcheckmethod VARCHAR(16) NOT NULL, healthcheckurl VARCHAR(256) NOT NULL,
maxparallelrequests INT NOT NULL, ratelimitthreshold INT NOT NULL, logrequestfull INT NOT NULL, logrequestbody INT NOT NULL, logresponsebody INT NOT NULL,
apiformat VARCHAR(32), labels VARCHAR(512) NOT NULL, pinnedembeddingsprops VARCHAR(2048) NOT NULL, pinnedcompletionsprops VARCHAR(2048) NOT NULL,
bearertoken VARCHAR(512), querystring VARCHAR(2048), headers VARCHAR(4096) NOT NULL, allowembeddings INT NOT NULL, allowcompletions INT NOT NULL, active INT NOT NULL,
createdutc VARCHAR(64), lastupdateutc VARCHAR(64))"""
FRONTEND = dict(identifier="f", name="F", hostname="*", timeoutms=60000, loadbalancing="RoundRobin", blockhttp10=1, maxrequestbodysize=536870912, backends="[]", requiredmodels="[]",
                logrequestfull=0, logrequestbody=0, logresponsebody=0, usestickysessions=0, stickysessionexpirationms=1800000, pinnedembeddingsprops="{}",
                pinnedcompletionsprops="{}", allowretries=1, allowembeddings=1, allowcompletions=1, active=1, createdutc="2026-01-01 00:00:00.000000")
BACKEND = dict(identifier="b", name="B", hostname="127.0.0.1", port=11434, ssl=0, unhealthythreshold=2, healthythreshold=2, healthcheckmethod="GET", healthcheckurl="/",
               maxparallelrequests=4, ratelimitthreshold=10, logrequestfull=0, logrequestbody=0, logresponsebody=0, apiformat="Ollama", labels="[]", pinnedembeddingsprops="{}",
               pinnedcompletionsprops="{}", headers="{}", allowembeddings=1, allowcompletions=1, active=1)

# As the first versions of Ollama Herd made it; `tags` came later.
TRACES = """CREATE TABLE request_traces (id INTEGER PRIMARY KEY AUTOINCREMENT, request_id TEXT NOT NULL, model TEXT NOT NULL, original_model TEXT NOT NULL,
node_id TEXT NOT NULL, score REAL, scores_breakdown TEXT, status TEXT NOT NULL, latency_ms REAL, time_to_first_token_ms REAL, prompt_tokens INTEGER,
completion_tokens INTEGER, retry_count INTEGER DEFAULT 0, fallback_used INTEGER DEFAULT 0, excluded_nodes TEXT, client_ip TEXT, original_format TEXT,
error_message TEXT, timestamp REAL NOT NULL)"""
TRACE = dict(model="qwen3:8b", original_model="qwen3:8b", node_id="studio", status="completed", latency_ms=1500.0, time_to_first_token_ms=250.0, prompt_tokens=26,
             completion_tokens=100, client_ip="", original_format="ollama")


def run(*words, cwd, home=None):
    done = subprocess.run([program("herd"), *map(str, words)], cwd=cwd, capture_output=True, text=True, timeout=30, env={"HOME": str(home or cwd), "PATH": "/usr/bin:/bin"})
    return done.returncode, done.stdout, done.stderr


def insert(database, table, row):
    database.execute("INSERT INTO %s (%s) VALUES (%s)" % (table, ", ".join(row), ", ".join("?" * len(row))), list(row.values()))


class Theirs:
    """Ollama Herd's database, open as that program has it while it runs."""

    def __init__(self, folder, tags=True):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.database = sqlite3.connect(folder / "latency.db")
        self.database.execute("PRAGMA journal_mode = WAL")
        self.database.execute(TRACES)
        self.database.execute("CREATE INDEX idx_traces_request_id ON request_traces(request_id)")
        if tags:
            self.database.execute("ALTER TABLE request_traces ADD COLUMN tags TEXT")

    def add(self, request_id, age, **more):
        insert(self.database, "request_traces", {**TRACE, "request_id": request_id, "timestamp": time.time() - age, **more})

    def files(self):
        """But for the one in which readers note where they read."""
        return {path.name: path.read_bytes() for path in self.folder.iterdir() if not path.name.endswith("-shm")}


def tally(text):
    """(taken, known, too old, senseless) of the sentence at the end."""
    match = re.fullmatch(r"(\d+) requests of Ollama Herd were taken into \S+/requests\.db: (\d+) were there already, (\d+) are older than the \w+ of \[store\] retention, "
                         r"(\d+) made no sense(, [^.\n]*)?\.\n", text)
    assert match, text
    return tuple(int(group) for group in match.groups()[:4])


def test_ollamaflows_frontends_and_backends_work_here(sim_fleet, tmp_path):
    backend, other = ScriptedOllama(models=("m:latest",)), ScriptedOllama(models=("m:latest",))
    with backend, other:
        database = sqlite3.connect(tmp_path / "ollamaflow.db")
        database.execute(FRONTENDS)
        database.execute(BACKENDS)
        insert(database, "backends", {**BACKEND, "identifier": "one", "port": backend.port, "bearertoken": "s3cret", "querystring": "a=1&b=2", "headers": '{"X-Team":"red"}',
                                      "labels": '["GPU"]', "unhealthythreshold": 5, "healthcheckmethod": "HEAD"})
        insert(database, "backends", {**BACKEND, "identifier": "one-openai", "port": backend.port, "apiformat": "OpenAI"})
        insert(database, "backends", {**BACKEND, "identifier": "two", "port": other.port, "active": 0})
        insert(database, "frontends", {**FRONTEND, "identifier": "team", "name": "Team's --/*\"", "hostname": "team.lan", "backends": '["one","one-openai"]', "usestickysessions": 1,
                                       "pinnedcompletionsprops": '{"options":{"num_ctx":4096,"stop":["a\\u007f"]}}', "timeoutms": 30000, "logrequestbody": 1})
        insert(database, "frontends", {**FRONTEND, "identifier": "all", "backends": '["one","two"]', "allowretries": 0})
        database.commit()
        before = (tmp_path / "ollamaflow.db").read_bytes()
        (tmp_path / "ollamaflow.json").write_text(json.dumps({"Webserver": {"Hostname": "localhost", "Port": 43411}, "AdminBearerTokens": ["ollamaflowadmin"],
                                                              "StickyHeaders": ["X-Thread"]}))
        status, toml, err = run("import", "ollamaflow", cwd=tmp_path)
        assert status == 0, err
        assert "ollamaflowadmin" not in toml and (tmp_path / "ollamaflow.db").read_bytes() == before
        for line in ('listen = ["127.0.0.1:43411"]', 'headers = ["X-Thread"]', "down_after = 5", 'health_method = "HEAD"',
                     '# backend "one": backend "one-openai" is the same server with the other ApiFormat: this node serves both, with the labels of both',
                     '# frontend "team": LogRequestBody "1": left out, herd has nothing like it', "# Its admin tokens are not taken: `herd key add NAME --admin` makes a key."):
            assert line in toml.splitlines(), toml
        path = tmp_path / "taken.toml"
        path.write_text(toml)
        path.chmod(0o600)
        status, shown, err = run("--config", path, "--check-config", cwd=tmp_path)
        assert status == 0, err
        assert "s3cret" not in shown
        herd = sim_fleet.herd(discovery=False, config=path).wait_online(["one"])
        assert herd.node("two")["state"] == "draining"
        answer = herd.post("/api/chat", {"model": "m", "messages": [], "stream": False}, headers={"Host": "team.lan"})
        assert answer.status == 200 and answer.header("X-OllamaFlow-Backend") == "one"
        sent = backend.seen[-1]
        assert json.loads(sent.body)["options"] == {"num_ctx": 4096, "stop": ["a\x7f"]}
        assert sent.header("Authorization") == "Bearer s3cret" and sent.header("X-Team") == "red" and sent.target == "/api/chat?a=1&b=2"
        frontends = {each["id"]: each for each in herd.get("/herd/v1/frontends").json()["frontends"]}
        team = frontends["team"]
        assert (team["name"], team["nodes"], team["sticky"], team["first_byte_timeout"], team["policy"]) == ("Team's --/*\"", ["one"], True, "30s", "round_robin")
        assert frontends["all"]["nodes"] == ["one", "two"] and frontends["all"]["allow_retries"] is False


def test_odd_rows_of_ollamaflows_make_a_file_that_herd_takes_and_serves_with(sim_fleet, tmp_path):
    backend = ScriptedOllama(models=("m:latest",))
    with backend:
        database = sqlite3.connect(tmp_path / "ollamaflow.db")
        database.execute(FRONTENDS)
        database.execute(BACKENDS)
        # Registered for OpenAI first: the node serves /api all the same.
        insert(database, "backends", {**BACKEND, "identifier": "gpu box", "port": backend.port, "apiformat": "OpenAI", "labels": '["eu west"]', "unhealthythreshold": 500,
                                      "healthcheckmethod": "POST", "querystring": "?a=1&flag", "headers": '{"Authorization":"Bearer s3cret","Host":"x"}'})
        insert(database, "backends", {**BACKEND, "identifier": "gpu-ollama", "port": backend.port, "labels": '["fast"]', "pinnedcompletionsprops": '{"model":"other","options":{"seed":7}}'})
        insert(database, "backends", {**BACKEND, "identifier": "lost", "hostname": "no host"})
        insert(database, "frontends", {**FRONTEND, "identifier": "my team", "name": "Team", "hostname": "*", "backends": '["gpu box","gpu-ollama","lost","ghost"]'})
        insert(database, "frontends", {**FRONTEND, "identifier": "old", "name": "Team", "hostname": "*", "createdutc": "2020-01-01 00:00:00.000000"})
        insert(database, "frontends", {**FRONTEND, "identifier": "off", "hostname": "*", "active": 0, "loadbalancing": "Weighted"})
        database.commit()
        status, toml, err = run("import", "ollamaflow", cwd=tmp_path)
        assert status == 0, err
        for words in (('"gpu box"', "UnhealthyThreshold 500", "100"), ('"gpu box"', "HealthCheckMethod", "GET"), ('"gpu box"', "Labels", "eu-west"), ('"gpu box"', "Authorization", "bearer"),
                      ('"gpu box"', '"Host"', "left out"), ('"gpu box"', "Querystring", "NAME="), ("PinnedCompletionsProperties", "model", "left out"), ('"lost"', "left out"),
                      ('"my team"', "Identifier", "my-team"), ('"my team"', "ghost"), ('"old"', "Hostname", '"my team" has it'), ('"old"', "Name", '"Team"'), ('"off"', "Weighted", "cost")):
            assert any(line.startswith("# ") and all(word in line for word in words) for line in toml.splitlines()), (words, toml)
        assert not any("s3cret" in line for line in toml.splitlines() if line.startswith("#"))
        path = tmp_path / "taken.toml"
        path.write_text(toml)
        path.chmod(0o600)
        status, shown, err = run("--config", path, "--check-config", cwd=tmp_path)
        assert status == 0, err + toml
        herd = sim_fleet.herd(discovery=False, config=path).wait_online(["gpu box"])
        answer = herd.post("/api/chat", {"model": "m", "messages": [], "stream": False}, headers={"X-OllamaFlow-Label": "fast, eu-west"})
        assert answer.status == 200, answer.body
        sent = backend.seen[-1]
        assert sent.header("Authorization") == "Bearer s3cret" and sent.target == "/api/chat?a=1&flag=" and json.loads(sent.body)["options"] == {"seed": 7}
        assert herd.post("/api/copy", {"source": "m", "destination": "n"}).status != 403


def test_ollama_herds_settings_and_pins_are_taken_over(tmp_path):
    folder = tmp_path / ".fleet-manager"
    folder.mkdir()
    (folder / "env").write_text("""# mine
export FLEET_PORT=11500
FLEET_MAX_RETRIES='1'
FLEET_ANTHROPIC_MODEL_MAP='{"default":"qwen3-coder:30b","claude-haiku-4-5":"qwen3:14b"}'
FLEET_DYNAMIC_NUM_CTX=true
FLEET_NUM_CTX_OVERRIDES={"gpt-oss:120b": 32768}
FLEET_PINNED_MODELS=llama3.2:3b, nomic-embed-text
FLEET_CORS_ORIGINS=http://a.lan,http://b.lan
FLEET_ANTHROPIC_API_KEY=hush
FLEET_SCORE_MODEL_HOT=60
FLEET_NODE_NODE_ID=studio
OTHER=1
no line
""")
    (folder / "pinned_models.json").write_text('{"nodes": {"studio": ["gemma3:27b"]}, "updated_at": 1.0}')
    status, toml, err = run("import", "ollama-herd", cwd=tmp_path)
    assert status == 0, err
    assert "hush" not in toml
    path = tmp_path / "taken.toml"
    path.write_text(toml)
    status, shown, err = run("--config", path, "--check-config", cwd=tmp_path)
    assert status == 0, err + toml
    for line in ('listen = ["0.0.0.0:11500"]', "retries = 1", '"claude-*" = "qwen3-coder:30b"', "claude_auto = true", 'num_ctx = "protect"', '[models."gpt-oss:120b"]', "num_ctx = 32768",
                 'model = "nomic-embed-text"', 'node = "studio"', '# name = "studio"', "# FLEET_SCORE_MODEL_HOT=60", "# FLEET_ANTHROPIC_API_KEY (a secret: herd key add NAME makes keys)"):
        assert line in toml.splitlines(), toml
    assert toml.count("[[pins]]") == 3


def test_ollama_herds_history_comes_along_while_herd_runs(sim_fleet, tmp_path):
    herd = sim_fleet.static(sim_fleet.sim(), sim_fleet.sim())
    theirs = Theirs(tmp_path / ".fleet-manager")
    day = 86400
    theirs.add("first-1", 2 * day, tags='["nightly"]', original_model="qwen3:70b", fallback_used=1)
    theirs.add("failed-1", 2 * day + 60, status="failed", time_to_first_token_ms=None, error_message="it broke", prompt_tokens=None, completion_tokens=None)
    theirs.add("left-1", 2 * day + 120, status="client_disconnected", original_format="openai")
    theirs.add("tried-1", 3 * day, status="retried", node_id="mini", latency_ms=1000.0, time_to_first_token_ms=None, retry_count=1)
    theirs.add("tried-1", 3 * day - 5, retry_count=1, excluded_nodes='["mini"]')
    theirs.add("old-1", 31 * day)
    theirs.add("odd-1", 4 * day, latency_ms=-7.0, prompt_tokens="many", node_id="x" * 5_000_000)
    theirs.add("odd-2", 4 * day, status="exploded")
    theirs.add("odd-3", 4 * day, timestamp="noon")
    crowd = 30000
    theirs.database.executemany("INSERT INTO request_traces (request_id, model, original_model, node_id, status, latency_ms, timestamp) VALUES (?, 'many', 'many', 'mini', 'completed', 10, ?)",
                                [("many-%d" % i, time.time() - 5 * day - i) for i in range(crowd)])
    theirs.database.commit()
    before = theirs.files()
    assert "latency.db-wal" in before

    asked, slowest, stop = [], [0.0], threading.Event()

    def ask():
        while not stop.is_set():
            begun = time.monotonic()
            answer = herd.chat("llama3.2:3b", options={"num_predict": 1})
            assert answer.status == 200
            asked.append(answer.header("X-Herd-Request-Id"))
            slowest[0] = max(slowest[0], time.monotonic() - begun)
    threads = [threading.Thread(target=ask, daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()
    begun = time.monotonic()
    words = ("import", "ollama-herd", "--history", "--state-dir", sim_fleet.folder / "herd")
    status, out, err = run(*words, cwd=tmp_path)
    took = time.monotonic() - begun
    stop.set()
    for thread in threads:
        thread.join(10)
    assert status == 0, err
    assert tally(out) == (crowd + 5, 0, 1, 2) and ", 1 lack a value" in out, out
    report("history of Ollama Herd: %d requests in %.1f s beside %d of herd's, the slowest of which took %.0f ms" % (crowd + 5, took, len(asked), 1000 * slowest[0]))
    assert theirs.files() == before

    def record(request_id):
        return herd.get("/herd/v1/requests/" + request_id).json()
    first = record("first-1")
    assert (first["model"], first["requested_model"], first["node"], first["status"], first["termination"]) == ("qwen3:8b", "qwen3:70b", "studio", 200, "--")
    assert (first["prompt_tokens"], first["output_tokens"], first["total_ms"], first["ttft_ms"], first["tags"], first["api"]) == (26, 100, 1500, 250, ["nightly"], "ollama")
    assert first["fallback"] and first["decision"] is None
    assert (record("failed-1")["status"], record("failed-1")["termination"], record("failed-1")["error"]) == (502, "NH", "it broke")
    assert (record("left-1")["status"], record("left-1")["termination"], record("left-1")["api"]) == (200, "CD", "openai")
    tried = record("tried-1")
    assert [(each["node"], each["outcome"]) for each in tried["attempts"]] == [("mini", "failed"), ("studio", "served")] and tried["status"] == 200
    assert 5900 < tried["total_ms"] < 6100, tried
    assert record("odd-1")["total_ms"] == 0 and "prompt_tokens" not in record("odd-1") and record("odd-1")["node"] == ""
    assert herd.get("/herd/v1/requests/old-1").status == 404
    assert [each["id"] for each in herd.get("/herd/v1/requests?tag=nightly").json()["requests"]] == ["first-1"]

    def used():
        rows = herd.get("/herd/v1/usage?by=model&bucket=30d&since=29d").json()["rows"]
        return {name: sum(row["requests"] for row in rows if row["name"] == name) for name in {row["name"] for row in rows}}
    assert used()["many"] == crowd and used()["qwen3:8b"] == 5
    shown = subprocess.run([program("herd"), "requests", "--url", herd.url, "--model", "qwen3:8b"], capture_output=True, text=True, timeout=30)
    assert shown.returncode == 0 and "first-1" in shown.stdout and "studio" in shown.stdout, shown.stdout
    # Herd's own records are all there, too.
    wait_until(lambda: used()["llama3.2:3b"] == len(asked), "herd's own records")
    assert "herd_records_dropped_total 0" in herd.get("/metrics").body.decode()
    # And again: what is new, nothing else.
    theirs.add("new-1", 60)
    theirs.database.commit()
    status, out, err = run(*words, cwd=tmp_path)
    assert status == 0 and tally(out) == (1, crowd + 5, 1, 2), out + err
    assert used()["many"] == crowd and used()["qwen3:8b"] == 6
    assert herd.stop() == 0
    again = sim_fleet.static(sim_fleet.sim(), sim_fleet.sim())  # which adds up whole hours of it all
    assert again.get("/herd/v1/requests/new-1").status == 200
    herd = again
    assert used()["many"] == crowd and used()["qwen3:8b"] == 6 and used()["llama3.2:3b"] == len(asked)


def test_the_history_may_come_before_herds_first_start(sim_fleet, tmp_path):
    theirs = Theirs(tmp_path / "old", tags=False)  # an old version's
    theirs.add("one", 3600)
    theirs.add("two", 7200)
    theirs.database.commit()
    theirs.database.close()
    before = theirs.files()
    state = sim_fleet.folder / "herd"
    config = sim_fleet.config('state_dir = "%s"\n[store]\nretention = "90m"\n' % state)
    status, out, err = run("import", "ollama-herd", "--history", "--from", tmp_path / "old", "--config", config, cwd=tmp_path)
    assert status == 0 and tally(out) == (1, 0, 1, 0) and str(state / "requests.db") in out, out + err
    assert theirs.files() == before and set(before) == {"latency.db"}
    assert {path.name for path in (tmp_path / "old").iterdir()} == {"latency.db"}
    assert stat.S_IMODE(state.stat().st_mode) == 0o700 and stat.S_IMODE((state / "requests.db").stat().st_mode) == 0o600
    herd = sim_fleet.static(sim_fleet.sim())
    assert [each["id"] for each in herd.get("/herd/v1/requests").json()["requests"]] == ["one"]
    assert herd.chat("llama3.2:3b").status == 200


def test_a_history_that_cannot_be_read_or_written_is_one_sentence(tmp_path):
    state = tmp_path / "state"

    def failed(*more):
        status, out, err = run("import", "ollama-herd", "--history", "--state-dir", state, *more, cwd=tmp_path)
        assert status == 1 and not out and err.startswith("herd: ") and err.count("\n") == 1, (status, out, err)
        return err
    folder = tmp_path / ".fleet-manager"
    assert "latency.db: there is no such file (--from says where" in failed()
    folder.mkdir()
    (folder / "latency.db").write_text("no database, but long enough to be looked at" * 50)
    assert "file is not a database" in failed()
    (folder / "latency.db").unlink()
    theirs = Theirs(folder)
    theirs.database.execute("ALTER TABLE request_traces RENAME TO other")
    theirs.database.commit()
    assert "it has no table request_traces" in failed()
    theirs.database.execute("ALTER TABLE other RENAME TO request_traces")
    theirs.add("one", 60)
    theirs.database.commit()
    theirs.database.execute("PRAGMA locking_mode = EXCLUSIVE")
    theirs.add("two", 60)
    theirs.database.commit()
    assert "database is locked" in failed()
    assert not state.exists(), "nothing is made for nothing"
    theirs.database.close()
    state.mkdir()
    ours = sqlite3.connect(state / "requests.db")
    ours.execute("BEGIN EXCLUSIVE")
    ours.execute("CREATE TABLE t (a)")
    assert "cannot write to %s/requests.db: database is locked" % state in failed()
    ours.close()
    (state / "requests.db").write_bytes(b"no database at all " * 1000)
    assert "file is not a database" in failed() and (state / "requests.db").stat().st_size == 19000
    config = tmp_path / "herd.toml"
    config.write_text("[store]\nenabled = false\n")
    assert "keeps no records" in failed("--config", config)
    for words, sentence in ((["ollamaflow", "--history"], "--history is for ollama-herd"), (["ollama-herd", "--state-dir", "x"], "are for --history")):
        status, out, err = run("import", *words, cwd=tmp_path)
        assert status == 2 and sentence in err, err


def test_what_cannot_be_read_is_one_sentence(tmp_path):
    for words, sentence in ((["ollamaflow"], "ollamaflow.db"), (["ollama-herd"], "pinned_models.json"), (["ollamaflow", "--from", "x"], "--from is for ollama-herd"),
                            (["nginx"], "ollamaflow or ollama-herd"), ([], "import needs")):
        status, out, err = run("import", *words, cwd=tmp_path)
        assert status in (1, 2) and not out and sentence in err and err.count("\n") == 1, (words, err)
    (tmp_path / "ollamaflow.db").write_text("no database, but long enough to be looked at" * 50)
    status, out, err = run("import", "ollamaflow", cwd=tmp_path)
    assert status == 1 and "file is not a database" in err and err.count("\n") == 1, err
