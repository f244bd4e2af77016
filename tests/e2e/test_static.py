"""Nodes that a person named: over https, with keys, with OpenAI's paths alone, and outside of the LAN."""
import json
import os
import shutil
import subprocess
import threading
from pathlib import Path

import pytest

from conftest import need
from harness import request, wait_until
from harness.certificates import Authority, fingerprint
from harness.forwarding import ForwardingProxy
from harness.lan import inside
from harness.programs import Herd, program
from harness.scripted import ScriptedOllama

needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl")


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


class ScriptedOpenAI(ScriptedOllama):
    """A server with OpenAI's paths alone, as llama.cpp's, vLLM and LM Studio are."""
    PROBES = {("GET", "/v1/models"), ("GET", "/health")}

    def _probe(self, exchange, path):
        if path == "/health":
            exchange.answer(200, {"status": "ok"})
        else:
            exchange.answer(200, {"object": "list", "data": [{"id": model, "object": "model", "created": 1, "owned_by": "x"} for model in self.models]})


def not_found(exchange):
    exchange.answer(404, {"error": "no"})


def completion(exchange):
    if exchange.target.startswith("/v1/chat/completions"):
        exchange.answer(200, {"id": "x", "object": "chat.completion", "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}]})
    else:
        not_found(exchange)


def completion_of(text):
    def script(exchange):
        if exchange.target.startswith("/api/chat"):
            exchange.answer(200, {"model": "m", "message": {"role": "assistant", "content": text}, "done": True})
        else:
            not_found(exchange)
    return script


# ------------------------------------------------------------------------------------------------------- https
@needs_openssl
def test_an_https_node_is_recognised_by_its_authority_or_its_pin(fleet, authority):
    with ScriptedOllama(tls=authority.server_context("127.0.0.1")) as backend:
        pin = fingerprint(authority.folder / ("cert-%d.pem" % authority.count))
        herd = fleet.herd(discovery=False, config=fleet.config('[[node]]\nname = "ca"\nurl = "%s"\ntls.ca_file = "%s"\nlabels = ["a"]\n' % (backend.url, authority.file)))
        herd.wait_online(["ca"])
        node = herd.node("ca")
        assert node["tls"] is True and node["url"] == backend.url and node["latency_ms"] > 0
        assert herd.chat("m").status == 200 and herd.chat("m", stream=True).status == 200
        assert request(herd.url, "DELETE", "/herd/v1/nodes/ca").status in (200, 409)
        for tls, state, words in (({"pin": pin}, "online", ""), ({"verify": False}, "online", ""), ({}, "unreachable", "its certificate is not accepted"),
                                  ({"pin": "0" * 64}, "unreachable", "its certificate is not the pinned one")):
            second = fleet.herd(discovery=False, state="state-%s" % len(fleet.running))
            answer = second.post("/herd/v1/nodes", {"url": backend.url, "name": "x", "tls": tls})
            assert answer.status == 201, answer
            assert answer.json()["state"] == state and words in answer.json()["state_reason"], answer
            assert (answer.json()["latency_ms"] is not None) == (state == "online")
            if state != "online":
                assert second.chat("m").status in (404, 503)


@needs_openssl
def test_a_certificate_for_another_name_is_not_accepted(fleet, authority):
    with ScriptedOllama(tls=authority.server_context("other.lan")) as backend:
        herd = fleet.herd(discovery=False)
        answer = herd.post("/herd/v1/nodes", {"url": backend.url, "tls": {"ca_file": str(authority.file)}}).json()
        assert answer["state"] == "unreachable" and "mismatch" in answer["state_reason"]
        assert backend.heads == []


def test_a_node_that_does_not_answer_says_why(fleet):
    herd = fleet.herd(discovery=False)
    for url, words in (("http://127.0.0.1:1", "connection refused"), ("http://nowhere.invalid:1", "no address for nowhere.invalid: no such host")):
        answer = herd.post("/herd/v1/nodes", {"url": url}).json()
        assert answer["state"] == "unreachable" and answer["state_reason"].startswith(words), answer
    listed = subprocess.run([program("herd"), "nodes", "--url", herd.url], capture_output=True, text=True, timeout=30).stdout
    assert "127.0.0.1:1 is unreachable: connection refused" in listed, listed


def test_an_https_node_that_speaks_plain_http_is_sent_nothing(fleet):
    with ScriptedOllama() as backend:
        herd = fleet.herd(discovery=False)
        answer = herd.post("/herd/v1/nodes", {"url": "https" + backend.url[4:], "bearer": "secret-bearer"}).json()
        assert answer["state"] == "unreachable" and "TLS" in answer["state_reason"]
        assert not any("secret-bearer" in str(head) for head in backend.heads)


# ------------------------------------------------------------------------------------------------------ adding
def test_a_posted_node_is_probed_before_the_answer(fleet):
    with ScriptedOllama() as backend:
        herd = fleet.herd(discovery=False)
        added = herd.post("/herd/v1/nodes", {"url": backend.url, "name": "n", "labels": ["eu"], "weight": 2, "slots": 3})
        assert added.status == 201
        node = added.json()
        assert node["state"] == "online" and node["latency_ms"] > 0 and node["labels"] == ["eu"] and node["slots"]["total"] == 3
        assert herd.post("/herd/v1/nodes", {"url": backend.url}).status == 409


def test_a_node_that_cannot_be_is_refused_with_the_reason(fleet):
    herd = fleet.herd(discovery=False)
    for url, words in (("http://169.254.169.254", "link-local"), ("http://[fe80::1]:11434", "link-local"), (herd.url, "own address"),
                       ("http://user:pw@10.0.0.1", "user"), ("ftp://10.0.0.1", "scheme"), ("http://metadata.google.internal", "metadata")):
        answer = herd.post("/herd/v1/nodes", {"url": url})
        assert answer.status == 400 and words in answer.json()["error"], (url, answer)
    for field in ("bearer_file", "bearer_env"):
        answer = herd.post("/herd/v1/nodes", {"url": "http://10.0.0.1", field: "/etc/passwd"})
        assert answer.status == 400 and field in answer.json()["error"]


def test_settings_of_a_posted_node_survive_a_restart(fleet):
    with ScriptedOpenAI(script=completion) as backend:
        herd = fleet.herd(discovery=False)
        assert herd.post("/herd/v1/nodes", {"url": backend.url, "name": "n", "api": "openai", "headers": {"X-Team": "blue"}, "bearer": "b"}).status == 201
        herd.stop()
        backend.heads.clear()
        again = fleet.herd(discovery=False).wait_online(["n"])
        assert again.node("n")["api"] == "openai"
        assert all(head[2].get("x-team") == "blue" and head[2].get("authorization") == "Bearer b" for head in backend.heads)


# ------------------------------------------------------------------------------------------------- credentials
def test_a_bearer_belongs_to_its_own_origin(fleet, tmp_path):
    key = tmp_path / "key"
    key.write_text("from-a-file\n")
    key.chmod(0o600)
    with ScriptedOllama(script=lambda exchange: exchange.answer(503, {"error": "busy"})) as first, ScriptedOllama() as second, ScriptedOllama() as third:
        config = fleet.config('[[node]]\nname = "one"\nurl = "%s"\nbearer_file = "%s"\nweight = 50\nheaders = { X-Secret = "hush" }\nquery = { token = "a b" }\n'
                              '[[node]]\nname = "two"\nurl = "%s"\n[[node]]\nname = "three"\nurl = "%s"\nbearer_env = "THREES"\n' % (first.url, key, second.url, third.url))
        herd = fleet.herd(discovery=False, config=config, env={"THREES": "from-the-environment"}).wait_online(["one", "two", "three"])
        for _ in range(3):
            assert herd.chat("m", headers={"Authorization": "Bearer of-the-client"}).status == 200
        assert herd.chat("m", headers={"X-Herd-Node": "one"}).status in (502, 503)
        assert first.seen and all(head[2].get("authorization") == "Bearer from-a-file" and head[2].get("x-secret") == "hush"
                                  and head[1].endswith("token=a%20b") for head in first.heads)
        assert all("authorization" not in head[2] and "x-secret" not in head[2] and "token" not in head[1] for head in second.heads)
        assert all(head[2].get("authorization") == "Bearer from-the-environment" for head in third.heads)
        everything = herd.output() + "".join(herd.get(path).body.decode() for path in ("/herd/v1/nodes", "/herd/v1/config", "/herd/v1/requests", "/metrics", "/herd/v1/health"))
        for secret in ("from-a-file", "from-the-environment", "hush", "of-the-client"):
            assert secret not in everything


def test_a_redirect_is_not_followed_and_takes_no_key_along(fleet):
    with ScriptedOllama() as elsewhere:
        def redirect(exchange):
            exchange.answer(307, b"", headers=[("Location", elsewhere.url + exchange.target)])
        with ScriptedOllama(script=redirect) as backend:
            herd = fleet.herd(discovery=False, config=fleet.config('[[node]]\nname = "n"\nurl = "%s"\nbearer = "secret-bearer"\n' % backend.url)).wait_online(["n"])
            assert herd.chat("m").status == 307
            assert elsewhere.heads == []


def test_a_node_without_its_key_is_unknown_and_hears_nothing(fleet):
    with ScriptedOllama() as backend:
        config = fleet.config('[[node]]\nname = "n"\nurl = "%s"\nbearer_env = "NOT_SET_ANYWHERE"\n' % backend.url)
        herd = fleet.herd(discovery=False, config=config)
        node = herd.node("n")
        assert node["state"] == "unknown" and node["state_reason"] == "no key: set NOT_SET_ANYWHERE" and node["latency_ms"] is None
        answer = herd.chat("m", headers={"X-Herd-Node": "n"})
        assert answer.status == 503 and "NOT_SET_ANYWHERE" in answer.json()["error"]
        assert answer.header("Retry-After") is None
        assert herd.chat("m").status in (404, 503)
        assert backend.heads == []


# ------------------------------------------------------------------------------------------------------ dialect
def test_a_server_with_openais_paths_alone(fleet):
    with ScriptedOpenAI(models=("qwen/Qwen2.5-7B-Instruct", "both"), script=completion) as vllm, ScriptedOllama(models=("m:latest", "both:latest")) as ollama:
        config = fleet.config('[[node]]\nname = "vllm"\nurl = "%s"\napi = "openai"\nhealth_path = "/health"\n[[node]]\nname = "ollama"\nurl = "%s"\n' % (vllm.url, ollama.url))
        herd = fleet.herd(discovery=False, config=config).wait_online(["vllm", "ollama"])
        ids = {row["id"] for row in herd.get("/v1/models").json()["data"]}
        assert {"qwen/Qwen2.5-7B-Instruct", "m:latest"} <= ids
        assert {row["name"] for row in herd.get("/api/tags").json()["models"]} == {"m:latest", "both:latest"}
        asked = {"model": "qwen/Qwen2.5-7B-Instruct", "messages": [{"role": "user", "content": "x"}]}
        answer = herd.post("/v1/chat/completions", asked)
        assert answer.status == 200 and answer.header("X-Herd-Node") == "vllm"
        assert json.loads(vllm.seen[-1].body) == asked
        extras = {"fallback_models": ["m"], "metadata": {"tags": ["a"], "user_id": "u"}, "fallback": False}
        assert herd.post("/v1/chat/completions", {**asked, **extras}).status == 200
        assert json.loads(vllm.seen[-1].body) == {**asked, "metadata": {"user_id": "u"}}, "what is said to herd goes no further than to an Ollama"
        assert herd.post("/api/chat", asked).status == 404
        for _ in range(4):  # the model of both: Ollama's own paths go to the Ollama alone
            assert herd.chat("both").header("X-Herd-Node") == "ollama"
        assert herd.post("/api/show", {"model": "both"}).header("X-Herd-Node") == "ollama"
        assert request(herd.url, "DELETE", "/api/delete", {"model": "qwen/Qwen2.5-7B-Instruct"}).status == 404
        assert herd.get("/api/ps").status == 200
        assert all(head[1].split("?")[0] in ("/v1/models", "/health", "/v1/chat/completions") for head in vllm.heads)
        explained = herd.post("/herd/v1/route", {"model": "both", "messages": []}).json()
        assert {row["node"]: row.get("reason") for row in explained["candidates"]}["vllm"] == "other_api"


# -------------------------------------------------------------------------------------------------------- cloud
def test_the_cloud_without_a_key_is_never_asked(fleet):
    config = fleet.config('[[node]]\nname = "cloud"\nkind = "cloud"\nurl = "https://ollama.com"\n')
    with ScriptedOllama() as backend:
        herd = fleet.herd(discovery=False, config=config)
        assert herd.post("/herd/v1/nodes/cloud/probe").json()["key_status"] == "missing"
        node = herd.node("cloud")
        assert node["state"] == "unreachable" and node["state_reason"] == "no key: set OLLAMA_API_KEY" and node["cloud"] is True
        allowed = {"X-Herd-Allow-Cloud": "true"}
        for headers in (allowed, {**allowed, "X-Herd-Node": "cloud"}):
            answer = herd.chat("gpt-oss:120b", headers=headers)
            assert answer.status == 503 and "OLLAMA_API_KEY" in answer.json()["error"], answer
        compatible = herd.post("/v1/chat/completions", {"model": "gpt-oss:120b", "messages": []}, headers=allowed).json()
        assert compatible["error"]["code"] == "node_unconfigured"
        herd.post("/herd/v1/nodes", {"url": backend.url, "name": "box"})
        assert herd.chat("gpt-oss:120b").status == 404


@pytest.mark.parametrize("url", ["http://ollama.com", "https://ollama.com.attacker.tld", "https://evil.tld/ollama.com", "https://ollama.com:8443", "https://127.0.0.1"])
def test_only_the_cloud_may_be_called_the_cloud(fleet, url):
    herd = fleet.herd(discovery=False, env={"OLLAMA_API_KEY": "cloud-key"})
    answer = herd.post("/herd/v1/nodes", {"url": url, "kind": "cloud"})
    assert answer.status == 400 and "cloud-key" not in answer.body.decode()


class Cloud:
    """A host at which ollama.com is this machine: the real name, port and rules, and nothing leaves. One box beside it."""

    def __init__(self, network, tmp_path, authority, more=""):
        self.host = network.host("herd", network.lan(), addresses=["10.77.0.1/24"])
        self.hosts = Path("/etc/netns") / self.host
        self.hosts.mkdir(parents=True)
        (self.hosts / "hosts").write_text("127.0.0.1 localhost\n127.0.0.1 ollama.com\n")
        with inside(self.host):
            self.cloud = ScriptedOllama(models=("gpt-oss:120b", "both:latest"), tls=authority.server_context("ollama.com"), port=443)
            self.box = ScriptedOllama(models=("m:latest", "both:latest"))
        config = tmp_path / "herd.toml"
        # Held for less than its clients wait: by default both take 30 s, and either may be first.
        config.write_text('scheduler.hold_timeout = "2s"\n[[node]]\nname = "cloud"\nkind = "cloud"\nurl = "https://ollama.com"\ntls.ca_file = "%s"\n[[node]]\nname = "box"\nurl = "%s"\n%s'
                          % (authority.file, self.box.url, more))
        self.herd = Herd(["serve", "--config", config, "--listen", "127.0.0.1:0", "--no-discovery", "--state-dir", tmp_path / "state"], tmp_path / "herd.log",
                         namespace=self.host, env={"OLLAMA_API_KEY": "cloud-key"})

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.herd.kill()
        self.cloud.close()
        self.box.close()
        shutil.rmtree(self.hosts)


@pytest.mark.root
@needs_openssl
def test_the_cloud_is_used_only_where_that_is_allowed(network, tmp_path, authority):
    need("herd")
    with Cloud(network, tmp_path, authority) as site, inside(site.host):
        herd, cloud, box = site.herd, site.cloud, site.box
        herd.wait_online(["cloud", "box"])
        # Whether the key is good is asked where it is needed, for the lists are public.
        assert herd.post("/herd/v1/nodes/cloud/probe").json()["key_status"] == "configured"
        assert cloud.heads[-1][:2] == ("POST", "/api/show") and cloud.heads[-1][2]["authorization"] == "Bearer cloud-key"
        cloud.key = "another"
        assert herd.post("/herd/v1/nodes/cloud/probe").json()["key_status"] == "rejected"
        cloud.key = None
        assert "key_status" not in herd.post("/herd/v1/nodes/box/probe").json()
        assert {row["name"] for row in herd.get("/api/tags").json()["models"]} == {"m:latest", "both:latest"}
        assert herd.chat("gpt-oss:120b").status == 404
        assert herd.chat("gpt-oss:120b", headers={"X-Herd-Node": "cloud"}).status == 404
        assert not cloud.seen
        allowed = {"X-Herd-Allow-Cloud": "true", "Authorization": "Bearer of-the-client"}
        answer = herd.chat("gpt-oss:120b", headers=allowed)
        assert answer.status == 200 and answer.header("X-Herd-Node") == "cloud"
        fields = {name.lower(): value for name, value in cloud.seen[-1].headers}
        assert fields["authorization"] == "Bearer cloud-key" and fields["host"] == "ollama.com"
        assert not {"x-forwarded-for", "x-forwarded-proto", "via", "x-herd-allow-cloud"} & set(fields)
        for _ in range(5):  # somebody on the LAN can do it
            assert herd.chat("both", headers=allowed).header("X-Herd-Node") == "box"
        assert len(cloud.seen) == 1
        # Pulling and deleting are for the LAN alone.
        assert request(herd.url, "DELETE", "/api/delete", {"model": "both"}, headers=allowed).status in (200, 404)
        assert herd.post("/api/pull", {"model": "new", "stream": False}, headers={**allowed, "X-Herd-Node": "cloud"}).status >= 400
        assert len(cloud.seen) == 1
        # The box is gone: only then does what may leave leave.
        box.close()
        herd.wait_state("box", ("suspect", "offline", "unreachable"))
        assert herd.chat("both").status == 503
        assert herd.chat("both", headers=allowed).header("X-Herd-Node") == "cloud"
        assert all(head[2].get("authorization") == "Bearer cloud-key" for head in cloud.heads)
        assert not any("cloud-key" in str(head) for head in box.heads)
        everything = herd.output() + "".join(herd.get(path).body.decode() for path in ("/herd/v1/nodes", "/herd/v1/config", "/herd/v1/requests", "/metrics"))
        assert "cloud-key" not in everything


@pytest.mark.root
@needs_openssl
def test_a_frontend_says_who_may_use_the_cloud(network, tmp_path, authority):
    need("herd")
    frontends = """
[[frontend]]
name = "open"
hostnames = ["open.lan"]
allow_cloud = true
required_models = ["wanted"]
[[frontend]]
name = "eu"
hostnames = ["eu.lan"]
allow_cloud = true
labels_required = ["eu"]
[[frontend]]
name = "closed"
hostnames = ["*"]
"""
    with Cloud(network, tmp_path, authority, frontends) as site, inside(site.host):
        herd, cloud, box = site.herd, site.cloud, site.box
        herd.wait_online(["cloud", "box"])

        def ask(host, model="gpt-oss:120b", path="/api/chat", **fields):
            body = {"model": model, "messages": [{"role": "user", "content": "x"}], "stream": False}
            return request(herd.url, "POST", path, body, headers=[("Host", host), *((key.replace("_", "-"), value) for key, value in fields.items())])
        # Where it is not allowed no header helps, nor a name that asks for it.
        for fields in ({}, {"X_Herd_Allow_Cloud": "true"}, {"X_Herd_Allow_Cloud": "true", "X_Herd_Node": "cloud"}):
            for path in ("/api/chat", "/v1/chat/completions", "/v1/messages"):
                assert ask("closed.internal", path=path, **fields).status == 404
                assert ask("eu.lan", path=path, **fields).status in (400, 404, 503)
        assert ask("closed.internal", "any:cloud", X_Herd_Allow_Cloud="true").status == 403
        assert not cloud.seen
        # Where it is allowed it needs none, and what the LAN can do stays there.
        answer = ask("open.lan")
        assert answer.status == 200 and answer.header("X-Herd-Node") == "cloud"
        assert {name.lower(): value for name, value in cloud.seen[-1].headers}["authorization"] == "Bearer cloud-key"
        assert ask("open.lan", "both").header("X-Herd-Node") == "box"
        assert latest_record(herd, "open")["node"] == "cloud"
        # What its nodes are to have is for those of the LAN.
        wait_until(lambda: [each.target for each in box.seen if each.target == "/api/pull"], "the box to pull")
        assert {each["node"] for each in herd.get("/herd/v1/sync").json()["models"]} == {"box"}
        assert [each.target for each in cloud.seen] == ["/api/chat"]
        # A change through the admin API is in force at once.
        assert request(herd.url, "PATCH", "/herd/v1/frontends/open", {"allow_cloud": False}).status == 200
        assert ask("open.lan").status == 404 and ask("open.lan", X_Herd_Allow_Cloud="true").status == 404
        assert len(cloud.seen) == 1


def latest_record(herd, frontend):
    return next(each for each in reversed(herd.get("/herd/v1/requests?limit=50").json()["requests"]) if each["frontend"] == frontend and each["status"] == 200)


# ------------------------------------------------------------------------------------------ changed at run time

SECRETS = ("first-bearer", "second-bearer", "header-secret", "query-secret", "new-secret")


def settings(herd, method, name, body=None, path="", **fields):
    return request(herd.url, method, "/herd/v1/nodes/%s/settings%s" % (name, path), body, headers=[(key.replace("_", "-"), value) for key, value in fields.items()])


def test_how_a_node_is_reached_is_changed_and_its_secrets_are_only_written(fleet):
    with ScriptedOllama() as backend:
        herd = fleet.herd(discovery=False)

        def sent():
            assert herd.chat("m").status == 200
            exchange = backend.seen[-1]
            return exchange.header("Authorization"), exchange.header("X-Own"), exchange.target.partition("?")[2]
        made = herd.post("/herd/v1/nodes", {"url": backend.url, "name": "x", "bearer": "first-bearer", "headers": {"X-Own": "header-secret"}, "query": {"k": "query-secret"}})
        assert made.status == 201 and made.json()["state"] == "online"
        assert sent() == ("Bearer first-bearer", "header-secret", "k=query-secret")
        shown = settings(herd, "GET", "x")
        origin = {"url": backend.url, "name": "x", "kind": "static", "api": "ollama", "bearer": "***", "headers": {"X-Own": "***"}, "query": {"k": "***"}}
        assert origin.items() <= shown.json().items() and shown.json()["weight"] == 1
        # What was shown, written back with one thing changed, keeps every secret.
        back = {key: value for key, value in shown.json().items() if key not in ("source", "node")}
        changed = settings(herd, "PUT", "x", {**back, "labels": ["eu"]}, If_Match=shown.header("ETag"))
        assert changed.status == 200 and origin.items() <= changed.json().items() and changed.json()["labels"] == ["eu"], changed
        assert sent() == ("Bearer first-bearer", "header-secret", "k=query-secret")
        # One of them is changed, one is taken away; nobody who saw the older state changes it by mistake.
        assert settings(herd, "PATCH", "x", {"bearer": "second-bearer", "query": None}, path="?dry_run=1").status == 200
        assert sent()[0] == "Bearer first-bearer"
        changed = settings(herd, "PATCH", "x", {"bearer": "second-bearer", "query": None})
        assert changed.status == 200 and changed.json()["bearer"] == "***" and changed.json()["query"] == {} and changed.json()["labels"] == ["eu"]
        assert sent() == ("Bearer second-bearer", "header-secret", "")
        assert settings(herd, "PATCH", "x", {"bearer": "new-secret"}, If_Match=shown.header("ETag")).status == 412
        again = settings(herd, "PATCH", "x", {"headers": {"X-Own": "***", "X-More": "new-secret"}}, If_Match=changed.header("ETag"))
        assert again.status == 200 and again.json()["headers"] == {"X-Own": "***", "X-More": "***"}
        assert sent()[1] == "header-secret" and backend.seen[-1].header("X-More") == "new-secret"
        # What makes no sense is told with its field, and changes nothing of either kind.
        for body, status, words in (({"headers": {"X-Other": "***"}}, 400, ("headers.X-Other", "none")), ({"headers": {"Host": "x"}}, 400, ("headers",)),
                                    ({"bearer": 7}, 400, ("bearer",)), ({"bearer_env": "HOME"}, 400, ("bearer_env",)), ({"tls": {"pinn": ""}}, 400, ("tls.pinn",)),
                                    ({"url": "http://127.0.0.1:1"}, 409, ("url",)), ({"url": "http://169.254.1.1"}, 400, ("169.254",)),
                                    ({"bearer": "new-secret", "weight": 0}, 400, ("weight",)), ({"bearer": "new-secret", "wait": 1}, 400, ("wait",))):
            wrong = settings(herd, "PATCH", "x", body)
            assert wrong.status == status and all(word in wrong.json()["error"] for word in words), (body, wrong)
            assert "new-secret" not in wrong.body.decode()
        assert sent() == ("Bearer second-bearer", "header-secret", "")
        assert settings(herd, "PATCH", "x", {"name": "y"}).json()["name"] == "y" and herd.node("y")["state"] == "online"
        # It is the same after a restart, and the secrets are nowhere to be read.
        everything = herd.output() + "".join(herd.get(path).body.decode() for path in (
            "/herd/v1/nodes", "/herd/v1/nodes/y", "/herd/v1/nodes/y/settings", "/herd/v1/config", "/herd/v1/requests", "/metrics", "/fleet/status"))
        assert not [secret for secret in SECRETS if secret in everything]
        herd.stop()
        herd = fleet.herd(discovery=False).wait_online(["y"])
        assert sent() == ("Bearer second-bearer", "header-secret", "")
        cleared = settings(herd, "PUT", "y", {"headers": {"X-Own": "***"}})
        assert cleared.json()["bearer"] is None and cleared.json()["labels"] == [] and sent() == (None, "header-secret", "")


def test_a_node_of_the_file_is_changed_in_the_file(fleet):
    with ScriptedOllama() as backend:
        herd = fleet.static(backend)
        refused = settings(herd, "PATCH", "b1", {"bearer": "new-secret"})
        assert refused.status == 409 and "herd.toml" in refused.json()["error"] and "bearer" in refused.json()["error"]
        assert settings(herd, "PATCH", "b1", {"weight": 2}).status == 200
        assert settings(herd, "GET", "b1").json()["bearer"] is None


def test_a_node_that_announces_itself_has_no_bearer(sim_fleet):
    herd, _, _ = sim_fleet.simulated(1)
    refused = settings(herd, "PATCH", "n1", {"bearer": "new-secret", "weight": 2})
    assert refused.status == 400 and "announces itself" in refused.json()["error"]
    assert settings(herd, "GET", "n1").json()["weight"] == 1 and "url" not in settings(herd, "GET", "n1").json()
    assert settings(herd, "PATCH", "nobody", {"bearer": "x"}).status == 404


def test_requests_that_wait_go_to_the_new_address_of_a_node(fleet):
    """A reload with another `url`: the old node is gone, the new one is being asked. Who waits is not turned away."""
    held = threading.Event()
    old = ScriptedOllama(script=lambda exchange: (held.wait(20), exchange.answer(200, {"from": "old", "done": True})), loaded=["m:latest"])
    new = ScriptedOllama(script=lambda exchange: exchange.answer(200, {"from": "new", "done": True}), loaded=["m:latest"])
    text = '[[node]]\nname = "one"\nurl = "%s"\nslots = 1\n'
    config = fleet.config(text % old.url)
    herd = fleet.herd(discovery=False, config=config)
    herd.wait_online(["one"])
    said = {}

    def ask(name):
        said[name] = herd.chat("m")
    running = threading.Thread(target=ask, args=("running",))
    running.start()
    wait_until(lambda: old.seen, "the first request is at the node", 5)
    waiting = [threading.Thread(target=ask, args=(i,)) for i in range(3)]
    for each in waiting:
        each.start()
    wait_until(lambda: herd.status()["requests"]["queued"] == 3, "three wait", 5)
    config.write_text(text % new.url)
    assert herd.post("/herd/v1/reload").status == 200
    for each in waiting:
        each.join(15)
    held.set()
    running.join(15)
    assert [said[i].status for i in range(3)] == [200] * 3 and all(said[i].json()["from"] == "new" for i in range(3)), said
    assert said["running"].json()["from"] == "old"


# ------------------------------------------------------------------------------------------------------ proxies
@pytest.mark.parametrize("scheme,kind", [("http", "connect"), ("socks5", "socks5")])
def test_a_node_behind_a_proxy_is_served_and_failed_over_like_any_other(fleet, scheme, kind):
    with ScriptedOllama(script=completion_of("through the proxy")) as backend, ForwardingProxy({"gpu.example": "127.0.0.1"}, ("me", "p@ss")) as proxy:
        port = int(backend.url.rsplit(":", 1)[1])
        herd = fleet.herd(discovery=False, config=fleet.config(
            '[[node]]\nname = "far"\nurl = "http://gpu.example:%d"\nproxy = "%s"\n' % (port, proxy.url(scheme, "me:p%40ss@"))))
        herd.wait_online(["far"])
        answer = herd.chat("m")
        assert answer.status == 200 and answer.json()["message"]["content"] == "through the proxy", answer
        assert set(proxy.asked) == {(kind, "gpu.example", port)}
        assert all(exchange.header("host") == "gpu.example:%d" % port for exchange in backend.seen)
        for text in (str(herd.get("/herd/v1/nodes").json()), str(herd.get("/herd/v1/nodes/far/settings").json()), str(herd.get("/herd/v1/config").json()), herd.output()):
            assert "p@ss" not in text and "p%40ss" not in text
        proxy.refuse = True
        proxy.cut()
        herd.wait_state("far", {"suspect", "unreachable", "offline"})
        words = "answers 503 to CONNECT" if kind == "connect" else "says: it is not allowed to go there"
        wait_until(lambda: words in (herd.node("far")["state_reason"] or ""), "the proxy's word to be told")
        proxy.refuse = False
        herd.wait_online(["far"])
        assert herd.chat("m").status == 200


def test_a_proxy_that_floods_the_way_to_a_node_is_left_and_herd_goes_on(fleet):
    with ScriptedOllama() as backend, ForwardingProxy() as proxy:
        proxy.flood = True
        herd = fleet.herd(discovery=False, config=fleet.config('[[node]]\nname = "far"\nurl = "%s"\nproxy = "%s"\n' % (backend.url, proxy.url("http"))))
        wait_until(lambda: "talks without end before the way is open" in (herd.node("far")["state_reason"] or ""), "the flood to be told")
        proxy.flood = False
        herd.wait_online(["far"])
        assert herd.stop() == 0


@needs_openssl
def test_an_https_node_behind_a_proxy_shows_its_own_certificate(fleet, authority):
    with ScriptedOllama(tls=authority.server_context("127.0.0.1")) as backend, ForwardingProxy() as proxy:
        herd = fleet.herd(discovery=False)
        answer = herd.post("/herd/v1/nodes", {"url": backend.url, "name": "far", "proxy": proxy.url("socks5"), "tls": {"ca_file": str(authority.file)}})
        assert answer.status == 201 and answer.json()["state"] == "online" and answer.json()["tls"] is True, answer
        assert herd.chat("m").status == 200
        assert {kind for kind, _, _ in proxy.asked} == {"socks5"}
        wrong = herd.post("/herd/v1/nodes", {"url": backend.url.replace("127.0.0.1", "localhost"), "name": "wrong", "proxy": proxy.url("http"),
                                             "tls": {"ca_file": str(authority.file)}}).json()
        assert wrong["state"] == "unreachable" and "certificate" in wrong["state_reason"], wrong
        nobody = herd.post("/herd/v1/nodes", {"url": "http://127.0.0.1:1", "name": "nobody", "proxy": "http://127.0.0.1:1"})
        assert nobody.json()["state"] == "unreachable" and nobody.json()["state_reason"] == "connection refused", nobody
