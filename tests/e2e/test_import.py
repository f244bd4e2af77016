"""Settings of other programs of this kind, taken over: what `herd import` prints is a herd.toml that works."""
import json
import sqlite3
import subprocess

from harness import request
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


def run(*words, cwd, home=None):
    done = subprocess.run([program("herd"), *map(str, words)], cwd=cwd, capture_output=True, text=True, timeout=30, env={"HOME": str(home or cwd), "PATH": "/usr/bin:/bin"})
    return done.returncode, done.stdout, done.stderr


def insert(database, table, row):
    database.execute("INSERT INTO %s (%s) VALUES (%s)" % (table, ", ".join(row), ", ".join("?" * len(row))), list(row.values()))


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
        for line in ('listen = ["127.0.0.1:43411"]', 'headers = ["X-Thread"]', "# one-openai is one once more", "down_after = 5", 'health_method = "HEAD"',
                     "# Not taken, there is nothing like it here: logrequestbody", "# Its admin tokens are not taken: `herd key add NAME --admin` makes a key."):
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


def test_what_cannot_be_read_is_one_sentence(tmp_path):
    for words, sentence in ((["ollamaflow"], "ollamaflow.db"), (["ollama-herd"], "pinned_models.json"), (["ollamaflow", "--from", "x"], "--from is for ollama-herd"),
                            (["nginx"], "ollamaflow or ollama-herd"), ([], "import needs")):
        status, out, err = run("import", *words, cwd=tmp_path)
        assert status in (1, 2) and not out and sentence in err and err.count("\n") == 1, (words, err)
    (tmp_path / "ollamaflow.db").write_text("no database, but long enough to be looked at" * 50)
    status, out, err = run("import", "ollamaflow", cwd=tmp_path)
    assert status == 1 and "file is not a database" in err and err.count("\n") == 1, err
