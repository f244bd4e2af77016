"""Health checks against fleets with simulated Ollamas: what is provoked is found, named, and goes away again."""
import json
import os
import subprocess
import threading

from harness import Connection, wait_until
from harness.programs import program, stream

MODEL = "llama3.2:3b"


def health(herd):
    answer = herd.get("/herd/v1/health")
    assert answer.status == 200, answer
    return answer.json()


def check(herd, name):
    return next(each for each in health(herd)["checks"] if each["id"] == name)


def wait_for(herd, name, severities, seconds=15.0):
    severities = {severities} if isinstance(severities, str) else set(severities)
    return wait_until(lambda: (lambda found: found["severity"] in severities and found)(check(herd, name)),
                      "check %s to be %s" % (name, " or ".join(sorted(severities))), seconds)


def doctor(herd, *more):
    done = subprocess.run([program("herd"), "doctor", "--url", herd.url, *more], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=20)
    return done.returncode, done.stdout.decode()


def test_a_healthy_fleet_shows_every_check_and_doctor_is_content(sim_fleet):
    herd, nodes, sims = sim_fleet.simulated(2)
    herd.chat(MODEL)
    wait_until(lambda: check(herd, "open_join")["severity"] == "info", "the open fleet to be told")
    report = health(herd)
    assert len(report["checks"]) >= 40 and 0 < report["score"] <= 100
    for each in report["checks"]:
        assert set(each) >= {"id", "severity", "summary", "advice", "nodes", "models"}, each
        assert each["severity"] in ("ok", "info", "warning", "critical")
        assert each["summary"] and (each["severity"] == "ok" or each["advice"]), each
    order = ["critical", "warning", "info", "ok"]
    ranks = [order.index(each["severity"]) for each in report["checks"]]
    assert ranks == sorted(ranks), "worst first"
    assert check(herd, "node_offline")["severity"] == "ok" and check(herd, "version_mismatch")["severity"] == "ok"
    code, said = doctor(herd)
    assert code == 0 and "[open_join]" in said and "of 100" in said, said
    code, said = doctor(herd, "--json")
    assert code == 0 and json.loads(said)["checks"]


def test_a_killed_node_is_critical_by_name_and_forgotten_when_it_is_back(sim_fleet):
    herd, nodes, sims = sim_fleet.simulated(2)
    nodes[0].kill()
    found = wait_for(herd, "node_offline", "critical", 25)
    assert found["nodes"] == ["n1"] and "n1" in found["summary"] and "systemctl" in found["advice"]
    code, said = doctor(herd)
    assert code == 1 and "critical" in said and "n1" in said, said
    sim_fleet.node("n1", sims[0])
    herd.wait_online(["n1"])
    wait_for(herd, "node_offline", "ok")


def test_a_node_that_says_goodbye_is_no_alarm(sim_fleet):
    herd, nodes, sims = sim_fleet.simulated(2)
    nodes[0].stop()
    found = wait_for(herd, "node_offline", "info", 25)
    assert found["nodes"] == ["n1"] and found["findings"][0]["activity"] is True


def test_an_ollama_that_died_is_told_with_its_node(sim_fleet):
    herd, nodes, sims = sim_fleet.simulated(2)
    sims[1].kill()
    found = wait_for(herd, "ollama_down", "critical", 15)
    assert found["nodes"] == ["n2"] and "ollama" in found["advice"]


def test_a_herd_without_nodes_says_so(fleet):
    herd = fleet.herd()
    assert wait_for(herd, "no_nodes", "critical", 20)["advice"]


def test_one_name_for_two_models_is_a_conflict(sim_fleet):
    herd, nodes, sims = sim_fleet.simulated(2)
    nodes[1].post("/api/create", {"model": MODEL, "from": MODEL, "system": "another one", "stream": False})
    found = wait_for(herd, "digest_conflict", "warning", 45)
    assert found["models"] == [MODEL] and sorted(found["nodes"]) == ["n1", "n2"]


def test_clients_that_fight_over_num_ctx_are_a_storm(sim_fleet):
    herd, nodes, sims = sim_fleet.simulated(1)

    def ask(context):
        before = sims[0].state()["reloads"] + sims[0].state()["loads"]
        assert herd.chat(MODEL, options={"num_ctx": context, "num_predict": 3}).status == 200
        assert sims[0].state()["reloads"] + sims[0].state()["loads"] > before
        wait_until(lambda: any(row.get("context_length") == context for row in (herd.node("n1") or {}).get("loaded", [])),
                   "herd to see the context %d" % context)
    for i in range(6):
        ask(4096 if i % 2 else 8192)
    found = wait_for(herd, "context_reload_storm", "warning")
    assert found["nodes"] == ["n1"] and found["models"] == [MODEL] and "num_ctx" in found["advice"]


def test_errors_are_counted_against_the_node_that_makes_them(sim_fleet):
    herd, nodes, sims = sim_fleet.simulated(2)
    sims[0].fault("status", status=500, error="out of luck", path="/api/chat")
    for _ in range(24):
        herd.chat(MODEL, headers=(("X-Herd-Node", "n1"),), options={"num_predict": 1})
    found = wait_for(herd, "high_error_rate", ("warning", "critical"))
    assert "n1" in found["nodes"] and "n2" not in found["nodes"]


def test_what_was_counted_survives_a_restart(sim_fleet):
    sim = sim_fleet.sim()
    herd = sim_fleet.static(sim)
    for _ in range(3):
        assert herd.chat(MODEL, options={"num_predict": 2}).status == 200
    for _ in range(4):
        connection, answer, pieces = stream(herd.url, "/api/chat", {"model": MODEL, "messages": [{"role": "user", "content": "x"}], "options": {"num_predict": 5000}})
        next(pieces)
        connection.close()
    wait_until(lambda: len(herd.get("/herd/v1/requests").json()["requests"]) == 7, "all to end")
    before = wait_for(herd, "client_disconnects", ("info", "warning"))
    assert herd.stop() == 0
    herd = sim_fleet.static(sim)
    after = wait_for(herd, "client_disconnects", ("info", "warning"))
    assert after["findings"][0]["data"]["disconnects_24h"] == before["findings"][0]["data"]["disconnects_24h"] == 4
    vitals = herd.get("/dashboard/api/health").json()["vitals"]
    assert vitals["total_requests_24h"] == 7 and vitals["client_disconnects_24h"] == 4
    assert herd.get("/fleet/queue").json()["completed"] == 0, "since this start"


def test_the_alias_has_ollama_herds_shape(sim_fleet):
    herd, nodes, sims = sim_fleet.simulated(2)
    herd.chat(MODEL)
    nodes[0].kill()
    wait_for(herd, "node_offline", "critical", 25)
    answer = herd.get("/dashboard/api/health").json()
    assert set(answer) == {"vitals", "recommendations", "checked_at"}
    vitals = answer["vitals"]
    assert vitals["nodes_total"] == 2 and vitals["nodes_offline"] == 1 and vitals["total_requests_24h"] >= 1
    assert vitals["health_score"] == health(herd)["score"] and vitals["image_generations_24h"] == 0
    first = answer["recommendations"][0]
    assert set(first) == {"check_id", "severity", "title", "description", "fix", "node_id", "data"}
    assert first["check_id"] == "node_offline" and first["node_id"] == "n1" and "last_heartbeat_ago_s" in first["data"]


def test_fleet_status_has_ollama_herds_shape(sim_fleet):
    herd, nodes, sims = sim_fleet.simulated(2)
    served = [herd.chat(MODEL).header("X-Herd-Node") for _ in range(3)]
    queue = served[0] + ":" + MODEL
    wait_until(lambda: herd.get("/fleet/status").json()["queues"].get(queue, {}).get("completed", 0) >= served.count(served[0]), "the requests to be counted")
    answer = herd.get("/fleet/status").json()
    assert answer["fleet"]["nodes_total"] == 2 and answer["fleet"]["nodes_online"] == 2 and answer["timestamp"] > 1e9
    for node in answer["nodes"]:
        assert node["node_id"] in ("n1", "n2") and node["status"] == "online" and node["herd"]["name"] == node["node_id"]
        assert node["memory"]["pressure"] in ("normal", "warn", "critical") and MODEL in node["ollama"]["models_available"]
        assert node["hardware"]["memory_total_gb"] > 0 and node["hardware"]["arch"] == os.uname().machine and node["hardware"]["chip"] == node["herd"]["cpu"]["model"]
        assert node["free_slots"] >= 0 and node["ollama_url"].startswith("http")
    row = answer["queues"][queue]
    assert row["node_id"] == served[0] and row["model"] == MODEL and row["avg_latency_ms"] > 0 and row["stats_samples"] == row["completed"]


def test_the_score_is_a_metric(sim_fleet):
    herd, nodes, sims = sim_fleet.simulated(1)
    wait_until(lambda: b"herd_health_score" in herd.get("/metrics").body, "the score in /metrics")


def test_viewers_hear_of_findings_as_they_change(sim_fleet):
    herd, nodes, sims = sim_fleet.simulated(2)
    heard = []

    def listen():
        connection = Connection(herd.url, 40)
        connection.send("GET", "/herd/v1/events", None)
        answer = connection.head()
        for piece in connection.pieces(answer):
            heard.append(piece.decode(errors="replace"))
            if "node_offline" in "".join(heard):
                break
        connection.close()
    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    wait_until(lambda: heard, "the first events")
    nodes[1].kill()
    thread.join(30)
    said = "".join(heard)
    assert "event: health" in said and '"node_offline"' in said, said[-600:]


def verb(herd, *words):
    done = subprocess.run([program("herd"), words[0], "--url", herd.url, *words[1:]], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=20)
    return done.returncode, done.stdout.decode()


def test_when_everything_is_sent_to_a_node_that_is_away_everybody_says_so(sim_fleet):
    sims = [sim_fleet.sim() for _ in range(2)]
    herd = sim_fleet.herd(config=sim_fleet.config('[scheduler]\nhold_timeout = "1s"\n'))
    nodes = [sim_fleet.node(name, sim) for name, sim in zip(("n1", "n2"), sims)]
    herd.wait_online(["n1", "n2"]).wait_models([MODEL])
    assert "is sent to" not in verb(herd, "status")[1]
    assert verb(herd, "use", "n1")[0] == 0
    wait_for(herd, "sent_to_one_node", "info")
    assert "everything is sent to n1; `herd use auto` undoes it" in verb(herd, "status")[1]
    nodes[0].kill()
    found = wait_for(herd, "sent_to_one_node", "critical", 25)
    assert "everything is sent to n1, which is offline" in found["summary"] and "herd use auto" in found["advice"]
    assert "everything is sent to n1, which is offline" in verb(herd, "status")[1] and "everything is sent to n1" in verb(herd, "top")[1]
    code, said = doctor(herd)
    assert code == 1 and "everything is sent to n1" in said, said
    refused = herd.chat(MODEL)
    assert refused.status == 503 and "everything is sent to n1 (`herd use`)" in refused.json()["error"], refused
    said = verb(herd, "route", MODEL)[1]
    assert "everything is sent to n1 (`herd use`)" in next(line for line in said.splitlines() if line.startswith("n2")), said
    assert verb(herd, "use", "auto")[0] == 0 and herd.chat(MODEL).status == 200
    wait_for(herd, "sent_to_one_node", "ok")


def test_a_goodbye_is_remembered_over_a_restart_of_herd(sim_fleet):
    herd, nodes, sims = sim_fleet.simulated(2)
    nodes[0].stop()
    wait_for(herd, "node_offline", "info", 25)
    assert herd.stop() == 0
    herd = sim_fleet.herd()
    herd.wait_online(["n2"])
    found = wait_for(herd, "node_offline", "info")
    assert found["nodes"] == ["n1"] and herd.node("n1")["state"] == "offline" and herd.node("n1")["source"] == "lana"
    assert doctor(herd)[0] == 0
    sim_fleet.node("n1", sims[0])
    herd.wait_online(["n1", "n2"])


def test_what_cannot_be_written_is_critical_until_it_is(sim_fleet):
    herd, nodes, sims = sim_fleet.simulated(1)
    state = sim_fleet.folder / "herd" / "fleet.json"
    wait_until(state.exists, "the pool to be saved")
    state.unlink()
    state.mkdir()
    (state / "in the way").write_text("")  # a directory cannot be written over, not even by root
    herd.post("/herd/v1/nodes/n1/drain")
    found = wait_for(herd, "state_not_written", "critical")
    assert "fleet.json" in found["summary"] and str(sim_fleet.folder / "herd") in found["advice"], found
    (state / "in the way").unlink()
    state.rmdir()
    wait_for(herd, "state_not_written", "ok", 25)
    assert state.is_file()


def test_two_nodes_with_one_name_are_told_apart(sim_fleet):
    """A reinstalled box: its old entry is there for a day, under another id."""
    herd, nodes, sims = sim_fleet.simulated(1)
    old = herd.node("n1")["id"]
    nodes[0].stop()
    wait_until(lambda: herd.node(old)["state"] == "offline", "the goodbye")
    second = sim_fleet.node("n1", sims[0], "--state-dir", sim_fleet.folder / "reinstalled")
    wait_until(lambda: [node["state"] for node in herd.nodes() if node["id"] != old] == ["online"], "the new one")
    new = next(node["id"] for node in herd.nodes() if node["id"] != old)
    said = verb(herd, "nodes")[1]
    assert "n1 (%s)" % old[:8] in said and "n1 (%s)" % new[:8] in said, said
    wait_for(herd, "duplicate_node_name", "info", 15)
    for action in ("drain", "resume"):  # a drained one is there, too
        assert verb(herd, action, "n1")[0] == 0, action
    assert herd.chat(MODEL, headers=[("X-Herd-Node", "n1")]).status == 200
    second.kill()
    wait_until(lambda: all(node["state"] == "offline" for node in herd.nodes()), "both to be gone", 25)
    code, said = verb(herd, "drain", "n1")
    assert code == 1 and "2 nodes are called n1: use an id (" in said and old[:8] in said and new[:8] in said, said
    assert verb(herd, "nodes", "remove", old[:8])[0] == 0
    assert [node["id"] for node in herd.nodes()] == [new]
    wait_for(herd, "duplicate_node_name", "ok")


def test_what_is_added_says_that_it_cannot_be_used_and_an_agent_is_not_added_twice(sim_fleet):
    herd, nodes, sims = sim_fleet.simulated(1)
    code, said = verb(herd, "nodes", "add", "http://127.0.0.1:1")
    assert code == 0 and "added http://127.0.0.1:1, but it is unreachable: " in said, said
    for host in ("127.0.0.1", "localhost"):
        url = nodes[0].url.replace("127.0.0.1", host)
        code, said = verb(herd, "nodes", "add", url)
        assert code == 1 and "is n1, which is in the pool already" in said, said
        assert len(herd.nodes()) == 2
    assert verb(herd, "nodes", "remove", "n1")[0] == 1  # it is there
