"""Names that stand for models of the fleet: in every dialect, told, applied by a reload, watched by health."""
import subprocess

from harness import request, wait_until
from harness.programs import program
from test_health import check, wait_for

MODEL = "llama3.2:3b"
CHAT = {"messages": [{"role": "user", "content": "hi"}], "stream": False}
CONFIG = """[aliases]
"gpt-4o" = "Llama3.2:3b"
"claude-*" = "house"
house = "llama3.2:3b"
"""


def test_an_alias_serves_in_every_dialect_and_is_told(sim_fleet):
    herd = sim_fleet.herd(config=sim_fleet.config(CONFIG))
    sim_fleet.node("n1", sim_fleet.sim(MODEL))
    herd.wait_online(["n1"]).wait_models([MODEL])
    for path, body in (("/api/chat", CHAT), ("/api/generate", {"prompt": "x", "stream": False}), ("/v1/chat/completions", CHAT),
                       ("/v1/messages", {**CHAT, "max_tokens": 5})):
        for asked in ("GPT-4o:latest", "claude-sonnet-4-5-20250929"):
            answer = herd.post(path, {**body, "model": asked})
            assert answer.status == 200, (path, asked, answer.body)
            assert answer.header("X-Herd-Model").lower() == MODEL
            assert answer.json()["model"].lower().startswith("llama3.2"), answer.body
    assert herd.post("/api/show", {"model": "gpt-4o"}).status == 200
    assert herd.get("/v1/models/gpt-4o").json()["id"].lower() == MODEL
    assert {row["name"] for row in herd.get("/api/tags").json()["models"]} == {MODEL}  # only what there is
    # A name with a tag of its own is a model's; so is one that no alias has.
    assert herd.post("/api/chat", {**CHAT, "model": "claude-x:7b"}).status == 404
    assert herd.post("/api/chat", {**CHAT, "model": "gpt-4"}).status == 404
    # Changing models takes their own names.
    assert request(herd.url, "DELETE", "/api/delete", {"model": "gpt-4o"}).status == 404
    rows = wait_until(lambda: [row for row in herd.get("/herd/v1/requests?limit=50").json()["requests"]
                               if row["path"] == "/v1/messages" and row["status"] == 200], "the records")
    assert {(row["requested_model"], row["model"].lower()) for row in rows} == {("GPT-4o:latest", MODEL), ("claude-sonnet-4-5-20250929", MODEL)}
    where = subprocess.run([program("herd"), "route", "claude-opus", "--url", herd.url], stdout=subprocess.PIPE, timeout=20)
    assert where.returncode == 0 and b"n1" in where.stdout, where.stdout


def test_claude_auto_takes_a_model_that_is_there_and_names_it(sim_fleet):
    herd = sim_fleet.herd(config=sim_fleet.config("[aliases]\nclaude_auto = true\n"))
    sim_fleet.node("n1", sim_fleet.sim(MODEL + ",qwen3-coder:1.5b,minilm"))
    herd.wait_online(["n1"]).wait_models([MODEL, "qwen3-coder:1.5b"])
    assert herd.chat(MODEL).status == 200  # in memory, but it cannot use tools
    body = {**CHAT, "model": "claude-sonnet-4-5", "max_tokens": 5}
    answer = herd.post("/v1/messages", body)
    assert answer.status == 200 and answer.header("X-Herd-Model") == "qwen3-coder:1.5b"
    assert herd.post("/v1/chat/completions", body).status == 404  # on Anthropic's paths only


def test_a_reload_changes_aliases_and_a_bad_one_changes_nothing(sim_fleet):
    path = sim_fleet.config(CONFIG)
    herd = sim_fleet.herd(config=path)
    sim_fleet.node("n1", sim_fleet.sim(MODEL))
    herd.wait_online(["n1"]).wait_models([MODEL])
    for text, words in (("[aliases]\na = \"b\"\nb = \"A:latest\"\n", ("line 3", "aliases.b", "circle")),
                        ("[aliases]\n\nhouse = \"House\"\n", ("line 3", "aliases.house", "stands for itself")),
                        ("[aliases]\nhouse = 5\n", ("line 2", "aliases.house", "string"))):
        path.write_text(text)
        refused = herd.post("/herd/v1/reload")
        assert refused.status == 400 and all(word in refused.json()["error"] for word in words), (text, refused.body)
        assert herd.chat("house").status == 200
    path.write_text("[aliases]\nother = \"%s\"\n" % MODEL)
    assert herd.post("/herd/v1/reload").status == 200
    assert herd.chat("other").status == 200 and herd.chat("house").status == 404
    bad = sim_fleet.config("[aliases]\nx = \"x\"\n")
    stopped = sim_fleet.herd(config=bad, state="bad", wait=False)
    assert stopped.wait(10) == 2 and "line 2: aliases.x" in stopped.output()


def test_health_tells_of_aliases_without_a_model_and_of_cold_ones(sim_fleet):
    path = sim_fleet.config('[aliases]\n"claude-opus" = "big:70b"\n"gpt-4o" = "%s"\n' % MODEL)
    herd = sim_fleet.herd(config=path)
    sim_fleet.node("n1", sim_fleet.sim(MODEL))
    herd.wait_online(["n1"]).wait_models([MODEL])
    found = wait_for(herd, "mapped_model_missing", "critical", 20)["findings"][0]
    assert "claude-opus" in found["summary"] and found["data"]["missing"] == "big:70b" and "herd pull big:70b" in found["advice"]
    found = wait_for(herd, "mapped_model_cold", "warning", 25)["findings"][0]
    assert "gpt-4o" in found["summary"] and found["data"]["not_hot"] == MODEL
    assert herd.chat("gpt-4o").status == 200  # loads it
    path.write_text('[aliases]\n"gpt-4o" = "%s"\n' % MODEL)
    assert herd.post("/herd/v1/reload").status == 200
    wait_for(herd, "mapped_model_missing", "ok", 20)
    wait_for(herd, "mapped_model_cold", "ok", 20)
    alias = next(each for each in herd.get("/dashboard/api/health").json()["recommendations"] if each["check_id"] == "open_join")
    assert alias and not check(herd, "mapped_model_cold")["findings"]
