"""Speech tools beside a node (docs/MEDIA.md): a small script and a service of the test's own write down what they get."""
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from harness import Connection, request, wait_until
from harness.scripted import ScriptedOllama
from test_media import add_node, in_background, is_running

PRINTER = '''import json, os, signal, sys
folder, recording, arguments = sys.argv[1], sys.argv[2], sys.argv[3:]
heard = open(recording, "rb").read().decode()
with open(folder + "/calls", "a") as calls:
    calls.write(json.dumps([os.getpid(), os.path.basename(recording), arguments]) + "\\n")
if heard == "fail":
    sys.exit("no such codec")
if heard == "hang":
    signal.pause()
print(json.dumps({"text": heard[:40], "language": "en", "chunks": [{"text": heard[:40], "start": 0, "end": 1.5}]}))
'''


class Speech:
    def __init__(self, folder, model="listener", more=""):
        folder.mkdir()
        self.folder = folder
        (folder / "printer.py").write_text(PRINTER)
        command = [sys.executable, str(folder / "printer.py"), str(folder), "{input}", "--language", "{language}"]
        self.config = '[relay]\nshutdown_grace = "1s"\n[media]\n%s\n[media.transcription]\nmodel = "%s"\ncommand = %s\n' % (more, model, json.dumps(command))

    def calls(self):
        path = self.folder / "calls"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def form(audio, name="audio", **fields):
    parts = "".join('--b\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % item for item in fields.items())
    return (parts + '--b\r\nContent-Disposition: form-data; name="%s"; filename="talk.mp3"\r\nContent-Type: audio/mpeg\r\n\r\n%s\r\n--b--\r\n' % (name, audio)).encode()


FORM = {"Content-Type": "multipart/form-data; boundary=b"}


@pytest.fixture
def speech(tmp_path):
    return Speech(tmp_path / "speech")


@pytest.fixture
def herd(sim_fleet, speech):
    herd = sim_fleet.herd()
    herd.agent = add_node(sim_fleet, speech)
    return herd.wait_online(["n1"]).wait_models(["listener"])


def test_a_recording_is_written_down(herd, speech):
    answer = herd.post("/api/transcribe", form("hello there", language="en"), FORM)
    assert answer.status == 200, answer
    assert answer.json() == {"text": "hello there", "language": "en",
                             "chunks": [{"text": "hello there", "start": 0.0, "end": 1.5, "chunk_index": 0, "language": "en"}]}
    assert int(answer.header("X-Transcription-Time")) >= 0
    assert answer.header("X-Herd-Node") == "n1" and answer.header("X-Herd-Model") == "listener:latest"
    assert [call[1:] for call in speech.calls()] == [["audio.mp3", ["--language", "en"]]]
    named = herd.post("/api/transcribe", form("named", name="file", model="listener"), FORM)
    assert named.status == 200 and named.json()["text"] == "named"
    assert speech.calls()[-1][2] == []
    wait_until(lambda: not list(herd.agent.temporary.iterdir()), "the private directories to be removed")
    row = next(row for row in herd.get("/api/tags").json()["models"] if row["name"] == "listener:latest")
    assert row["details"]["type"] == "transcription"
    assert herd.get("/api/image-models").json() == {"models": []}


def test_a_recording_too_long_to_be_kept_goes_through(herd):
    for fields in ({"model": "listener"}, {}):
        answer = herd.post("/api/transcribe", form("y" * 20_000_000, **fields), FORM)
        assert answer.status == 200 and answer.json()["text"] == "y" * 40, answer
    answer = herd.post("/v1/audio/transcriptions", form("y" * 20_000_000, name="file", model="listener"), FORM)
    assert answer.json() == {"text": "y" * 40}, answer


def test_openai_s_form(herd):
    answer = herd.post("/v1/audio/transcriptions", form("hi", name="file", model="listener"), FORM)
    assert answer.status == 200 and answer.json() == {"text": "hi"}, answer
    verbose = herd.post("/v1/audio/transcriptions", form("hi", name="file", model="listener", response_format="verbose_json"), FORM).json()
    assert verbose["segments"] == [{"id": 0, "start": 0.0, "end": 1.5, "text": "hi"}] and verbose["duration"] == 1.5
    text = herd.post("/v1/audio/transcriptions", form("hi", name="file", model="listener", response_format="text"), FORM)
    assert text.body == b"hi\n"
    assert herd.post("/v1/audio/transcriptions", form("hi", name="file", model="listener", response_format="srt"), FORM).status == 400


def test_the_openai_client(herd):
    openai = pytest.importorskip("openai")
    client = openai.OpenAI(base_url=herd.url + "/v1", api_key="none", max_retries=0)
    assert client.audio.transcriptions.create(model="listener", file=("talk.wav", b"good morning")).text == "good morning"


def test_what_is_asked_wrongly_is_said(herd, speech):
    assert herd.post("/api/transcribe", b"--b--\r\n", FORM).json()["error"] == "the form has no file called audio or file"
    assert herd.post("/api/transcribe", {"model": "listener"}).status == 400
    unknown = herd.post("/api/transcribe", form("x", model="absent"), FORM)
    assert unknown.status == 404 and unknown.json()["error"] == "speech model 'absent' not found; available: listener"
    assert herd.post("/api/generate-image", {"model": "listener", "prompt": "x"}).status == 400
    assert herd.chat("listener").status == 400
    failed = herd.post("/api/transcribe", form("fail"), FORM)
    assert failed.status == 502 and failed.json()["error"] == "listener failed: it ended with status 1: no such codec"
    assert herd.post("/api/transcribe", form("well"), FORM).status == 200


def test_without_a_tool_there_is_404(sim_fleet):
    herd, _, _ = sim_fleet.simulated(1)
    answer = herd.post("/api/transcribe", form("x"), FORM)
    assert answer.status == 404 and "no node has a tool" in answer.json()["error"], answer


def test_a_client_that_leaves_and_a_deadline_end_it(herd, speech, sim_fleet, tmp_path):
    connection = Connection(herd.url)
    connection.send("POST", "/api/transcribe", form("hang"), FORM)
    wait_until(speech.calls, "the tool to run")
    connection.close()
    wait_until(lambda: not is_running(speech.calls()[0][0]), "the tool to be killed")
    slow = Speech(tmp_path / "slow", "slow", 'transcription_timeout = "1s"')
    add_node(sim_fleet, slow, "n2")
    herd.wait_online(["n2"]).wait_models(["slow"])
    answer = herd.post("/api/transcribe", form("hang", model="slow"), FORM)
    assert answer.status == 504 and answer.json()["error"] == "slow made no transcript within 1 s"


def test_other_recordings_go_to_ollama(sim_fleet, speech):
    with ScriptedOllama(script=lambda exchange: exchange.answer(200, {"text": "by ollama"}), models=("whisper:latest",)) as backend:
        herd = sim_fleet.herd()
        add_node(sim_fleet, speech, backend=backend)
        herd.wait_online(["n1"]).wait_models(["listener", "whisper"])
        body = form("x" * 300_000, name="file", model="whisper")
        answer = herd.post("/v1/audio/transcriptions", body, FORM)
        assert answer.json() == {"text": "by ollama"}
        assert [each.body for each in backend.seen if each.target == "/v1/audio/transcriptions"] == [body]


class Service:
    """As mlx-qwen3-asr serves: jobs that are asked for until they are done."""

    def __init__(self, token):
        service = self
        self.jobs, self.seen = {}, []

        class Handler(BaseHTTPRequestHandler):
            def answer(self, status, body):
                data = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def allowed(self):
                if self.headers["Authorization"] != "Bearer " + token:
                    self.answer(401, {"detail": "token"})
                    return False
                return True

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.allowed():
                    service.seen.append((self.path, self.headers["Content-Type"], body))
                    service.jobs["j%d" % len(service.seen)] = 0
                    self.answer(202, {"job_id": "j%d" % len(service.seen)})

            def do_GET(self):
                if self.allowed():
                    job = self.path.rsplit("/", 1)[1]
                    service.jobs[job] += 1
                    done = service.jobs[job] > 1
                    failed = b"fail" in service.seen[int(job[1:]) - 1][2]
                    self.answer(200, {"status": "running"} if not done else {"status": "failed", "error": "bad audio"} if failed
                                else {"status": "completed", "result": {"text": "served", "language": "de"}})

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = "http://127.0.0.1:%d" % self.server.server_address[1]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


def test_a_service_does_it(sim_fleet, tmp_path):
    token = tmp_path / "token"
    token.write_text("s3cret\n")
    token.chmod(0o600)
    with Service("s3cret") as service:
        class Tool:
            config = '[media.transcription]\nmodel = "asr"\nurl = "%s"\ntoken_file = "%s"\n' % (service.url, token)
        herd = sim_fleet.herd()
        add_node(sim_fleet, Tool)
        herd.wait_online(["n1"]).wait_models(["asr"])
        threads, answers = in_background(lambda: herd.post("/api/transcribe", form("words", language="de"), FORM), 2)
        for thread in threads:
            thread.join(20)
        assert [answer.json()["text"] for answer in answers] == ["served", "served"]
        path, kind, body = service.seen[0]
        assert path == "/transcribe" and kind.startswith("multipart/form-data") and b"\r\n\r\nwords\r\n" in body and b"\r\n\r\nde\r\n" in body
        failed = herd.post("/api/transcribe", form("fail"), FORM)
        assert failed.status == 502 and failed.json()["error"] == "asr failed: the job failed: bad audio"
        token.chmod(0o644)
        refused = sim_fleet.node("n9", "http://127.0.0.1:1", "--config", sim_fleet.folder / "n1.toml", wait=False)
        assert refused.wait(10) == 2 and "token_file" in refused.output()


def test_unfinished_uploads_have_a_limit_together(sim_fleet, speech):
    node = add_node(sim_fleet, speech)
    body = form("z" * (99 << 20))
    held = []
    for _ in range(2):
        connection = Connection(node.url)
        connection.send_raw(b"POST /api/transcribe HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: %d\r\n\r\n" % len(body))
        connection.send_raw(body[:-9])
        held.append(connection)
    answer = request(node.url, "POST", "/api/transcribe", body, FORM)
    assert answer.status == 429 and answer.json()["error"] == "too many requests wait for this tool", answer
    for connection in held:
        connection.close()
    wait_until(lambda: request(node.url, "POST", "/api/transcribe", form("after"), FORM).status == 200, "the memory to be free")
