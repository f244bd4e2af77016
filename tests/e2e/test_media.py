"""Tools beside a node (docs/MEDIA.md): image makers that are small scripts here, through herd-node and herd."""
import base64
import json
import os
import signal
import subprocess
import sys
import threading

import pytest

from harness import Connection, request, wait_until
from harness.programs import program
from harness.scripted import ScriptedOllama

PNG = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+M8AAAMBAQDJ/pLvAAAAAElFTkSuQmCC")

# Writes down how it was called, then does what the file "orders" says. Its child shares its group.
TOOL = '''import os, subprocess, sys, time
folder, output, arguments = sys.argv[1], sys.argv[2], sys.argv[3:]
with open(folder + "/calls", "a") as calls:
    calls.write(repr(arguments) + "\\n")
orders = open(folder + "/orders").read().split()
if "fail" in orders:
    print("loading", file=sys.stderr)
    sys.exit("no Metal device")
if "empty" in orders:
    sys.exit(0)
if "hang" in orders:
    child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    with open(folder + "/pids", "a") as pids:
        pids.write("%d %d\\n" % (os.getpid(), child.pid))
    for _ in range(3000):
        if "hang" not in open(folder + "/orders").read():
            break
        time.sleep(0.02)
    child.kill()
open(output, "wb").write(bytes.fromhex("PNG") + bytes(30_000_000 if "large" in orders else 0))
'''.replace("PNG", PNG.hex())


class Tool:
    """An image maker; `config` is what herd-node.toml says of it."""

    def __init__(self, folder, model="painter", more=""):
        folder.mkdir()
        self.folder, self.model = folder, model
        (folder / "tool.py").write_text(TOOL)
        self.order("")
        command = [sys.executable, str(folder / "tool.py"), str(folder), "{output}", "--prompt", "{prompt}", "--size={width}x{height}",
                   "--steps={steps}", "--seed", "{seed}", "--guidance={guidance}", "--no={negative_prompt}"]
        self.config = '[relay]\nshutdown_grace = "1s"\n[media]\n%s\n[[media.image]]\nmodel = "%s"\ncommand = %s\n' % (more, model, json.dumps(command))

    def order(self, text):
        temporary = self.folder / "orders.new"
        temporary.write_text(text)
        temporary.rename(self.folder / "orders")

    def calls(self):
        path = self.folder / "calls"
        return path.read_text().splitlines() if path.exists() else []

    def pids(self):
        path = self.folder / "pids"
        return [int(pid) for pid in path.read_text().split()] if path.exists() else []


def is_running(pid):
    try:
        with open("/proc/%d/stat" % pid) as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def add_node(fleet, tool, name="n1", backend=None, **more):
    path = fleet.folder / (name + ".toml")
    path.write_text(tool.config)
    temporary = fleet.folder / ("tmp-" + name)
    temporary.mkdir()
    node = fleet.node(name, backend or fleet.sim("llama3.2:3b"), "--config", path, env={**os.environ, "TMPDIR": str(temporary)}, **more)
    node.temporary = temporary
    return node


@pytest.fixture
def tool(tmp_path):
    return Tool(tmp_path / "tool")


@pytest.fixture
def herd(sim_fleet, tool):
    herd = sim_fleet.herd()
    herd.agent = add_node(sim_fleet, tool)
    return herd.wait_online(["n1"]).wait_models(["painter", "llama3.2:3b"])


def ask(herd, model="painter", headers=(), **more):
    return herd.post("/api/generate-image", {"model": model, "prompt": "a cat", **more}, headers)


def in_background(work, count):
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(work()), daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    return threads, answers


def test_an_image_comes_as_png_with_the_headers_of_herd(herd, tool):
    answer = ask(herd, width=512, seed=7, negative_prompt="dogs")
    assert answer.status == 200 and answer.body == PNG, answer
    assert answer.header("Content-Type") == "image/png"
    assert int(answer.header("X-Generation-Time")) >= 0
    assert answer.header("X-Herd-Node") == "n1" and answer.header("X-Herd-Model") == "painter:latest"
    assert tool.calls() == [repr(["--prompt", "a cat", "--size=512x1024", "--steps=4", "--seed", "7", "--no=dogs"])]
    record = herd.get("/herd/v1/requests/" + answer.header("X-Herd-Request-Id")).json()
    assert (record["status"], record["model"], record["node"]) == (200, "painter:latest", "n1")
    wait_until(lambda: not list(herd.agent.temporary.iterdir()), "the private directory to be removed")


def test_openai_s_form_and_its_raw_one(herd, tool):
    answer = herd.post("/v1/images/generations", {"model": "painter", "prompt": "a cat", "size": "256x128"})
    assert answer.status == 200, answer
    image = answer.json()["data"][0]
    assert base64.b64decode(image["b64_json"]) == PNG and image["revised_prompt"] == "a cat"
    assert "'--size=256x128'" in tool.calls()[-1]
    raw = herd.post("/v1/images/generations", {"model": "painter", "prompt": "a cat"}, {"Accept": "image/png"})
    assert raw.status == 200 and raw.body == PNG
    bad = herd.post("/v1/images/generations", {"model": "painter", "prompt": "a", "response_format": "url"})
    assert bad.status == 400 and "b64_json" in bad.json()["error"]["message"] and bad.json()["error"]["type"] == "invalid_request_error"


def test_the_openai_client(herd):
    openai = pytest.importorskip("openai")
    client = openai.OpenAI(base_url=herd.url + "/v1", api_key="none", max_retries=0)
    image = client.images.generate(model="painter", prompt="a cat", size="1024x1024", response_format="b64_json")
    assert base64.b64decode(image.data[0].b64_json) == PNG
    with pytest.raises(openai.NotFoundError):
        client.images.generate(model="absent", prompt="a cat")


def test_lists_name_it(herd, sim_fleet, tmp_path):
    row = next(row for row in herd.get("/api/tags").json()["models"] if row["name"] == "painter:latest")
    assert row["details"]["type"] == "image" and len(row["digest"]) == 64
    assert herd.get("/api/tags").json()["models"][-1]["name"] == "painter:latest"  # clients take the first for chats
    assert "painter:latest" in [row["id"] for row in herd.get("/v1/models").json()["data"]]
    assert herd.get("/v1/models/painter").json()["id"] == "painter"
    expected = {"name": "painter", "type": "image", "backend": "command", "fleet_nodes": ["n1"]}
    assert herd.get("/api/image-models").json() == {"models": [expected]}
    assert herd.get("/api/ps").json() == {"models": []}  # it takes no memory while it does nothing
    add_node(sim_fleet, Tool(tmp_path / "secret", "secret", "list_in_tags = false"), "n2")
    herd.wait_online(["n2"])
    wait_until(lambda: len(herd.get("/api/image-models").json()["models"]) == 2, "the second tool")
    assert "secret:latest" not in [row["name"] for row in herd.get("/api/tags").json()["models"]]
    assert ask(herd, "secret").status == 200
    status = herd.get("/fleet/status").json()
    assert status["queues"]["n1:painter:latest"]["request_type"] == "image"


def test_a_benchmark_measures_it(herd):
    api = "/dashboard/api/benchmarks"
    assert herd.post(api + "/start", {"duration": 5, "model_types": ["image"]}).status == 200
    wait_until(lambda: herd.get(api + "/progress").json()["status"] == "complete", "the benchmark to end", 60)
    [run] = herd.get(api).json()["data"]
    [row] = run["per_model_results"]
    assert row["model"].startswith("painter") and row["model_type"] == "image" and row["requests"] == run["total_requests"] > 0
    assert run["total_failures"] == 0 and run["per_node_results"][0]["node_id"] == "n1"


def test_one_at_a_time_and_the_others_wait_in_line(herd, tool):
    tool.order("hang")
    threads, answers = in_background(lambda: ask(herd), 3)
    wait_until(lambda: herd.get("/fleet/queue").json()["pending"] == 2, "two to wait")
    wait_until(tool.pids, "the tool to run")
    assert len(tool.calls()) == 1
    assert herd.chat("llama3.2:3b").status == 200  # others are not held up
    tool.order("")
    for thread in threads:
        thread.join(20)
    assert [answer.status for answer in answers] == [200, 200, 200]
    assert len(tool.calls()) == 3


def test_a_client_of_the_node_itself_waits_too(herd, tool):
    tool.order("hang")
    threads, answers = in_background(lambda: request(herd.agent.url, "POST", "/api/generate-image", {"model": "painter", "prompt": "x"}), 2)
    wait_until(tool.pids, "the tool to run")
    assert len(tool.calls()) == 1
    tool.order("")
    for thread in threads:
        thread.join(20)
    assert [answer.status for answer in answers] == [200, 200] and len(tool.calls()) == 2


@pytest.mark.parametrize("through_herd", (True, False))
def test_a_client_that_does_not_read_keeps_nobody_from_the_tool(herd, tool, through_herd):
    url = herd.url if through_herd else herd.agent.url
    tool.order("large")
    slow = Connection(url)
    slow.send("POST", "/api/generate-image", {"model": "painter", "prompt": "a cat"})
    assert slow.head().status == 200
    tool.order("")
    for _ in range(3):
        answer = request(url, "POST", "/api/generate-image", {"model": "painter", "prompt": "a dog"}, timeout=10)
        assert answer.status == 200 and answer.body == PNG, answer
    slow.close()


def test_a_client_that_leaves_takes_its_tool_with_it(herd, tool):
    tool.order("hang")
    connection = Connection(herd.url)
    connection.send("POST", "/api/generate-image", {"model": "painter", "prompt": "a cat"})
    wait_until(lambda: len(tool.pids()) == 2, "the tool to run")
    connection.close()
    wait_until(lambda: not any(map(is_running, tool.pids())), "the tool and its child to be killed")
    tool.order("")
    assert ask(herd).status == 200
    wait_until(lambda: not list(herd.agent.temporary.iterdir()), "the private directories to be removed")


def test_the_end_of_the_agent_is_the_end_of_its_tools(herd, tool):
    tool.order("hang")
    threads, answers = in_background(lambda: ask(herd), 1)
    wait_until(lambda: len(tool.pids()) == 2, "the tool to run")
    herd.agent.signal(signal.SIGTERM)
    herd.agent.wait(20)
    assert not any(map(is_running, tool.pids()))
    threads[0].join(20)
    assert answers[0].status in (502, 503)


def test_a_failing_tool_is_502_with_its_last_words_and_another_node_is_tried(herd, tool, sim_fleet, tmp_path):
    tool.order("fail")
    answer = ask(herd)
    assert answer.status == 502, answer
    assert answer.json()["error"] == "painter failed: it ended with status 1: no Metal device"
    tool.order("empty")
    assert ask(herd).json()["error"] == "painter failed: it wrote no PNG file"
    good = Tool(tmp_path / "good")
    add_node(sim_fleet, good, "n2")
    herd.wait_online(["n2"])
    wait_until(lambda: herd.get("/api/image-models").json()["models"][0]["fleet_nodes"] == ["n1", "n2"], "both nodes")
    for _ in range(4):
        assert ask(herd).status == 200
    assert good.calls()


def test_a_tool_has_a_deadline(sim_fleet, tmp_path):
    slow = Tool(tmp_path / "slow", more='image_timeout = "1s"')
    slow.order("hang")
    herd = sim_fleet.herd()
    add_node(sim_fleet, slow)
    add_node(sim_fleet, slow, "n2")
    herd.wait_online(["n1", "n2"]).wait_models(["painter"])
    answer = ask(herd)
    assert answer.status == 504 and answer.json()["error"] == "painter made no image within 1 s", answer
    assert len(slow.calls()) == 1  # another node would take as long
    wait_until(lambda: not any(map(is_running, slow.pids())), "the tool to be killed")


def test_what_is_asked_wrongly_is_said(herd, tool):
    for body, sentence in (({"width": 5}, "width must be a whole number from 64 to 4096"), ({"prompt": ""}, "prompt is required"),
                           ({"seed": "x"}, "seed must be a whole number")):
        answer = ask(herd, **body)
        assert answer.status == 400 and answer.json()["error"].startswith(sentence), answer
    assert herd.post("/api/generate-image", {"prompt": "a"}).status == 400
    assert herd.post("/api/generate-image").status == 400
    unknown = ask(herd, "absent")
    assert unknown.status == 404 and unknown.json()["error"] == "image model 'absent' not found; available: painter"
    assert ask(herd, "llama3.2:3b").status == 404
    assert herd.get("/api/generate-image").status == 405
    for path in ("/api/chat", "/api/generate", "/api/show", "/v1/chat/completions"):
        answer = herd.post(path, {"model": "painter", "messages": [{"role": "user", "content": "x"}], "prompt": "x"})
        assert answer.status == 400 and "makes images" in answer.body.decode(), answer
    chat = herd.chat("llama3.2:3b", fallback_models=["painter"])
    assert chat.status == 200 and chat.header("X-Herd-Model") == "llama3.2:3b"
    assert not tool.calls() and ask(herd).status == 200


def test_other_images_go_to_ollama(sim_fleet, tool):
    """/v1/images/generations is Ollama's own route, too: what is no tool's is relayed with its body."""
    with ScriptedOllama(script=lambda exchange: exchange.answer(200, {}), models=("flux:latest",)) as backend:
        herd = sim_fleet.herd()
        add_node(sim_fleet, tool, backend=backend)
        herd.wait_online(["n1"]).wait_models(["painter", "flux"])
        herd.post("/v1/images/generations", {"model": "flux", "prompt": "a cat"})
        seen = [each for each in backend.seen if each.target == "/v1/images/generations"]
        assert [json.loads(each.body) for each in seen] == [{"model": "flux", "prompt": "a cat"}]


def test_a_tool_named_as_another_node_s_model_takes_nothing_from_it(sim_fleet, tmp_path):
    herd = sim_fleet.herd()
    sim_fleet.node("n1", sim_fleet.sim("llama3.2:3b"))
    impostor = add_node(sim_fleet, Tool(tmp_path / "impostor", "llama3.2:3b"), "n2", sim_fleet.sim("qwen3:8b"))
    herd.wait_online(["n1", "n2"]).wait_models(["llama3.2:3b", "qwen3:8b"])
    wait_until(lambda: herd.get("/api/image-models").json()["models"], "the tool")

    def chats_go_to_the_model():
        for path in ("/api/chat", "/v1/chat/completions"):
            for _ in range(3):
                answer = herd.post(path, {"model": "llama3.2:3b", "messages": [{"role": "user", "content": "x"}], "stream": False})
                assert answer.status == 200 and answer.header("X-Herd-Node") == "n1", answer

    chats_go_to_the_model()
    row = next(row for row in herd.get("/api/tags").json()["models"] if row["name"] == "llama3.2:3b")
    assert row["herd"]["nodes"] == ["n1"] and "type" not in row["details"]
    assert herd.post("/api/show", {"model": "llama3.2:3b"}).header("X-Herd-Node") == "n1"
    for _ in range(3):
        assert ask(herd, "llama3.2:3b").header("X-Herd-Node") == "n2"
    impostor.kill()
    herd.wait_state("n2", ("suspect", "offline", "unreachable"), 10)
    chats_go_to_the_model()
    assert herd.delete("/api/delete", body={"model": "llama3.2:3b"}).status == 200


def test_a_tool_is_announced_once_its_program_is_there(sim_fleet, tmp_path):
    painter = Tool(tmp_path / "tool", "late")
    script = tmp_path / "paint.sh"
    painter.config = painter.config.replace(json.dumps(sys.executable), '"./paint.sh"')
    checked = tmp_path / "checked.toml"
    checked.write_text(painter.config)
    said = subprocess.run([program("herd-node"), "--config", checked, "--check-config"], cwd=tmp_path, capture_output=True, text=True)
    assert said.returncode == 0 and "# warning: the tool of 'late' is not offered until its program %s" % script in said.stdout, said
    herd = sim_fleet.herd()
    add_node(sim_fleet, painter, cwd=tmp_path)
    herd.wait_online(["n1"]).wait_models(["llama3.2:3b"])
    assert herd.get("/api/image-models").json() == {"models": []}
    script.write_text('#!/bin/sh\nexec "%s" "$@"\n' % sys.executable)
    script.chmod(0o700)
    herd.wait_models(["late"], 15)
    answer = ask(herd, "late")  # started where the tool works, found where herd-node was started
    assert answer.status == 200 and answer.body == PNG, answer


def test_images_can_be_off(sim_fleet, tmp_path):
    node = add_node(sim_fleet, Tool(tmp_path / "off", more="images = false"))
    answer = request(node.url, "POST", "/api/generate-image", {"model": "painter", "prompt": "x"})
    assert answer.status == 503 and "images = false" in answer.json()["error"]


def test_prompts_are_nowhere(herd, tool, sim_fleet):
    tool.order("fail")
    assert herd.post("/api/generate-image", {"model": "painter", "prompt": "a zebra of Wuppertal"}).status == 502
    assert "Wuppertal" in tool.calls()[-1]
    for path in sim_fleet.folder.rglob("*"):
        if path.is_file():
            assert b"Wuppertal" not in path.read_bytes(), path
