"""OllamaFlow's admin API, /v1.0/frontends and /v1.0/backends: a script written for it works on herd."""
import json
import re

from harness import request
from harness.scripted import ScriptedOllama

ON = "[compat]\nollamaflow_admin = true\n"
DONE = {"model": "m", "message": {"role": "assistant", "content": "x"}, "done": True}
CHAT = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": False}


def ask(herd, method, path, body=None, **headers):
    return request(herd.url, method, "/v1.0" + path, body, [(k.replace("_", "-"), v) for k, v in headers.items()])


def backend():
    return ScriptedOllama(["m:latest"], lambda exchange: exchange.answer(200, DONE))


def address(server):
    host, port = server.url.split("//")[1].split(":")
    return {"Hostname": host, "Port": int(port)}


def test_a_script_for_ollamaflow_makes_changes_and_removes_frontends_and_backends(fleet):
    with backend() as first, backend() as second:
        herd = fleet.static(first, config=ON)
        made = ask(herd, "PUT", "/backends", {"Identifier": "attic", **address(second), "MaxParallelRequests": 2, "RateLimitRequestsThreshold": 5,
                                              "BearerToken": "s3cret", "PinnedCompletionsProperties": {"seed": 7}, "UnhealthyThreshold": 2, "LogRequestFull": False, "Labels": ["eu"]})
        assert made.status == 201, made.body
        shown = made.json()
        assert shown["Identifier"] == "attic" and shown["RateLimitRequestsThreshold"] == 5 and shown["Labels"] == ["eu"] and shown["Healthy"] is True and shown["UnhealthyThreshold"] == 2
        assert shown["BearerToken"] == "***" and shown["ApiFormat"] == "Ollama" and shown["Ssl"] is False and "LatencyMs" in shown
        assert made.header("Warning") == '199 herd "ignored: LogRequestFull"'
        assert {one["Identifier"] for one in ask(herd, "GET", "/backends").json()} == {"b1", "attic"}
        assert {one["Identifier"] for one in ask(herd, "GET", "/backends/health").json()} == {"b1", "attic"}
        assert ask(herd, "GET", "/backends/attic/health").json()["State"] == "online"
        native = herd.get("/herd/v1/nodes/attic/settings").json()
        assert native["max_parallel"] == 2 and native["queue_limit"] == 3 and native["pinned_completions"] == {"seed": 7}

        assert ask(herd, "PUT", "/frontends", {"Identifier": "eu", "Hostname": "eu.lan", "Backends": ["attic"], "TimeoutMs": 90000, "LoadBalancing": "Random"}).status == 201
        assert request(herd.url, "POST", "/api/chat", CHAT, [("Host", "eu.lan")]).header("X-Herd-Node") == "attic"
        sent = [seen for seen in second.seen if seen.target == "/api/chat"][-1]
        assert json.loads(sent.body)["seed"] == 7 and sent.header("Authorization") == "Bearer s3cret"
        one = ask(herd, "GET", "/frontends/eu").json()
        assert one["TimeoutMs"] == 90000 and one["LoadBalancing"] == "Random" and one["Backends"] == ["attic"]
        assert ask(herd, "HEAD", "/frontends/eu").status == 200 and ask(herd, "HEAD", "/frontends/us").status == 404
        assert [each["Identifier"] for each in ask(herd, "GET", "/frontends").json()] == ["eu"]

        # what was read can be written back: the secret stays; what is not named goes to its default, but for what theirs has no word for
        assert request(herd.url, "PATCH", "/herd/v1/frontends/eu", {"labels_required": ["eu"]}).status == 200
        assert request(herd.url, "PATCH", "/herd/v1/nodes/attic", {"tier": 1, "models_allow": ["m"]}).status == 200
        assert ask(herd, "PUT", "/backends/attic", {**shown, "MaxParallelRequests": 3}).json()["MaxParallelRequests"] == 3
        assert {"tier": 1, "models_allow": ["m"]}.items() <= herd.get("/herd/v1/nodes/attic/settings").json().items()
        replaced = ask(herd, "PUT", "/frontends/eu", {"Hostname": "eu.lan", "Backends": ["attic"], "AllowEmbeddings": False})
        assert replaced.status == 200 and replaced.json()["TimeoutMs"] == 60000 and replaced.json()["AllowEmbeddings"] is False
        assert herd.get("/herd/v1/frontends/eu").json()["labels_required"] == ["eu"]
        request(herd.url, "POST", "/api/chat", CHAT, [("Host", "eu.lan")])
        assert [seen for seen in second.seen if seen.target == "/api/chat"][-1].header("Authorization") == "Bearer s3cret"

        linked = ask(herd, "DELETE", "/backends/attic")
        assert linked.status == 409 and linked.json()["Error"] == "InUse" and linked.json()["StatusCode"] == 409 and "'eu'" in linked.json()["Message"]
        assert herd.delete("/herd/v1/nodes/attic").status == 409  # the same rule by our own words
        assert ask(herd, "DELETE", "/frontends/eu").status == 204 and ask(herd, "DELETE", "/backends/attic").status == 204
        assert herd.node("attic") is None and ask(herd, "GET", "/frontends/eu").json()["Error"] == "NotFound"


def test_an_identifier_in_the_body_renames_nothing(fleet):
    with backend() as first, backend() as second:
        herd = fleet.static(first, config=ON)
        assert ask(herd, "PUT", "/backends", {"Identifier": "a", **address(second)}).status == 201
        assert ask(herd, "PUT", "/frontends", {"Identifier": "f", "Hostname": "f.lan", "Backends": ["a"]}).status == 201
        for path, one in (("/backends/a", "a"), ("/frontends/f", "f")):
            shown = ask(herd, "GET", path).json()
            renamed = ask(herd, "PUT", path, {**shown, "Identifier": "zzz"})
            assert renamed.status == 200 and renamed.json()["Identifier"] == one, renamed.body
            assert renamed.header("Warning") == '199 herd "ignored: Identifier"'
            assert ask(herd, "GET", path[: -1] + "zzz").status == 404
        seen = herd.get("/herd/v1/frontends/f").json()
        assert seen["members"] == ["a"] and seen["missing"] == []
        assert request(herd.url, "POST", "/api/chat", CHAT, [("Host", "f.lan")]).header("X-Herd-Node") == "a"


def test_what_is_not_named_has_ollamaflows_default_and_what_was_read_can_be_sent_back(fleet):
    with backend() as first, backend() as second:
        herd = fleet.static(first, config=ON + '[[frontend]]\nname = "own"\nhostnames = ["own.lan"]\n')
        made = ask(herd, "PUT", "/frontends", {"Identifier": "bare", "Hostname": "bare.lan"}).json()
        assert (made["LoadBalancing"], made["Backends"], made["TimeoutMs"], made["MaxRequestBodySize"]) == ("RoundRobin", [], 60000, 536870912)
        assert "Policy" not in made and herd.get("/herd/v1/frontends/bare").json()["policy"] == "round_robin"
        # one that herd.toml made: its policy is none of theirs, and neither they nor a client that drops what it does not know lose it
        own = ask(herd, "GET", "/frontends/own").json()
        assert (own["LoadBalancing"], own["Policy"], own["Backends"]) == ("RoundRobin", "cost", ["*"])
        for sent in (own, {name: value for name, value in own.items() if name != "Policy"}):
            assert ask(herd, "PUT", "/frontends/own", {**sent, "AllowRetries": False}).json()["AllowRetries"] is False
            assert herd.get("/herd/v1/frontends/own").json()["policy"] == "cost"
        assert ask(herd, "PUT", "/frontends/own", {**own, "LoadBalancing": "Random"}).json()["LoadBalancing"] == "Random"
        # what is in force is told, be it a default
        assert (own["TimeoutMs"], own["MaxRequestBodySize"], own["PinnedCompletionsProperties"]) == (600000, 536870912, {})
        node = ask(herd, "GET", "/backends/b1").json()
        assert (node["HealthCheckUrl"], node["HealthCheckMethod"], node["UnhealthyThreshold"], node["HealthyThreshold"]) == ("/api/version", "GET", 4, 1)
        assert node["MaxParallelRequests"] == herd.node("b1")["slots"]["total"] >= 1 and "RateLimitRequestsThreshold" not in node
        assert re.fullmatch(r"\d\d:\d\d:\d\d(\.\d{7})?", node["Uptime"]) and "Downtime" not in node and node["IsSticky"] is False
        assert node["Headers"] == {} and node["PinnedEmbeddingsProperties"] == {} and "BearerToken" not in node
        assert ask(herd, "PUT", "/backends/b1", node).status == 200
        assert herd.get("/herd/v1/nodes/b1/settings").json()["source"] == "herd.toml"  # nothing was changed
        # of a node
        assert ask(herd, "PUT", "/backends", {"Identifier": "attic", **address(second)}).status == 201
        native = herd.get("/herd/v1/nodes/attic/settings").json()
        assert (native["max_parallel"], native["queue_limit"], native["down_after"]) == (4, 6, 2)
        # how a node of herd.toml is reached stays as it is there
        assert ask(herd, "PUT", "/backends/b1", {"Labels": ["eu"]}).json()["Labels"] == ["eu"]


def test_that_a_backend_has_one_name_is_said(fleet):
    with backend() as first, backend() as second:
        herd = fleet.static(first, config=ON)
        made = ask(herd, "PUT", "/backends", {"Identifier": "one", "Name": "Box One", **address(second)})
        assert made.status == 201 and made.json()["Name"] == "one" and made.header("Warning") == '199 herd "ignored: Name"'
        assert ask(herd, "PUT", "/backends/one", made.json()).header("Warning") is None


def test_when_a_frontend_or_backend_was_made_and_changed_is_told_as_ollamaflow_tells_it(fleet):
    with backend() as first, backend() as second:
        herd = fleet.static(first, config=ON)
        assert "CreatedUtc" not in ask(herd, "GET", "/frontends").json()[0]  # the built-in one: nobody made it
        for path, body, change in (("/frontends", {"Identifier": "eu", "Hostname": "eu.lan"}, {"TimeoutMs": 90000}),
                                   ("/backends", {"Identifier": "attic", **address(second)}, {"MaxParallelRequests": 3})):
            made = ask(herd, "PUT", path, {**body, "CreatedUtc": "2020-01-01T00:00:00.000000Z", "LastUpdateUtc": None})
            assert made.status == 201 and made.header("Warning") is None, made.body
            one = path + "/" + body["Identifier"]
            shown = ask(herd, "GET", one).json()
            assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", shown["CreatedUtc"]) and not shown["CreatedUtc"].startswith("2020")
            assert ask(herd, "PUT", one, shown).status == 200 and ask(herd, "PUT", one, {**shown, "LastUpdateUtc": "x"}).status == 200
            again = ask(herd, "GET", one).json()
            assert (again["CreatedUtc"], again["LastUpdateUtc"]) == (shown["CreatedUtc"], shown["LastUpdateUtc"])  # nothing was changed
            changed = ask(herd, "PUT", one, {**shown, **change}).json()
            assert changed["CreatedUtc"] == shown["CreatedUtc"] and changed["LastUpdateUtc"] > shown["LastUpdateUtc"]
        assert all("LastUpdateUtc" in one for one in ask(herd, "GET", "/backends").json())  # b1 stands in the file


def test_what_ollamaflow_may_not_is_told_in_its_words_and_changes_nothing(fleet):
    with backend() as first, backend() as second:
        herd = fleet.static(first, config=ON)
        cases = [("PUT", "/backends", {"Identifier": "x", **address(first)}, 409, "Conflict", "that url"),
                 ("PUT", "/backends", {"Identifier": "x", "Hostname": "169.254.1.1", "Port": 80}, 400, "BadRequest", "link-local"),
                 ("PUT", "/backends", {"Identifier": "health", **address(second)}, 400, "BadRequest", "health"),
                 ("PUT", "/backends", {"Identifier": "x", **address(second), "PinnedCompletionsProperties": {"model": "y"}}, 400, "BadRequest", "pinned_completions"),
                 ("PUT", "/backends/x", {}, 404, "NotFound", "x"),
                 ("PUT", "/backends/b1", {**address(first), "BearerToken": "t"}, 409, "Conflict", "herd.toml"),
                 ("PUT", "/frontends", {"Identifier": "x", "LoadBalancing": "LeastConnections"}, 400, "BadRequest", "policy"),
                 ("PUT", "/frontends", {"Identifier": "x", "TimeoutMs": "soon"}, 400, "BadRequest", "first_byte_timeout"),
                 ("PUT", "/frontends/nobody", {}, 404, "NotFound", "nobody"),
                 ("DELETE", "/backends/b1", None, 409, "Conflict", "herd.toml"),
                 ("DELETE", "/backends", None, 404, "NotFound", "path"),
                 ("POST", "/frontends", {}, 404, "NotFound", "path"),
                 ("GET", "/frontends/a/b", None, 404, "NotFound", "path")]
        for method, path, body, status, name, word in cases:
            answer = ask(herd, method, path, body)
            assert answer.status == status and answer.json()["StatusCode"] == status, (path, body, answer.status, answer.body)
            assert answer.json()["Error"] == name and word in answer.json()["Message"], (path, body, answer.body)
        assert [one["Identifier"] for one in ask(herd, "GET", "/backends").json()] == ["b1"]
        assert [one["Identifier"] for one in ask(herd, "GET", "/frontends").json()] == ["default"]
        # a full object of a node of herd.toml that changes only settings is taken
        shown = ask(herd, "GET", "/backends/b1").json()
        assert ask(herd, "PUT", "/backends/b1", {**shown, "AllowEmbeddings": False}).json()["AllowEmbeddings"] is False


def test_without_the_key_for_it_the_paths_are_nobodys(fleet):
    with backend() as first:
        herd = fleet.static(first)
        assert ask(herd, "GET", "/frontends").status == 404 and ask(herd, "PUT", "/frontends", {"Identifier": "x"}).status == 404
        assert [one["id"] for one in herd.get("/herd/v1/frontends").json()["frontends"]] == ["default"]


def test_a_wrong_token_is_refused_in_ollamaflows_words(fleet):
    herd = fleet.herd(discovery=False, config=fleet.config(ON + "[access]\nrequire_key = true\n"))
    herd.add_key("root", scope="admin")
    wrong = ask(herd, "GET", "/frontends", Authorization="Bearer herd_" + "0" * 40)
    assert wrong.status == 401 and wrong.json()["Error"] == "AuthenticationFailed" and wrong.json()["StatusCode"] == 401
    user = herd.add_key("user")
    mere = ask(herd, "PUT", "/frontends", {"Identifier": "x"}, Authorization="Bearer " + user)
    assert mere.status == 403 and mere.json()["Error"] == "AuthorizationFailed" and mere.json()["StatusCode"] == 403  # as everywhere in herd
    assert ask(herd, "PUT", "/frontends", {"Identifier": "x"}, Authorization="Bearer " + herd.key).status == 201
