"""A real Ollama with three tiny models, on loopback, with a home of its own."""
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from .process import Process, free_port, wait_until
from .wire import Connection, request

SUPPORT = Path(__file__).resolve().parents[2] / "support"
TEXT = "rayleigh sunlight and water scatter through the atmosphere every july since independence while oxygen over europe waits"


def find_binary():
    """$HERD_TEST_OLLAMA, else `ollama` on PATH, else None."""
    named = os.environ.get("HERD_TEST_OLLAMA")
    if named:
        return named if os.access(named, os.X_OK) else None
    return shutil.which("ollama")


def write_models(folder):
    """tiny.gguf, tinyloop.gguf, tinyembed.gguf in `folder`; name -> path."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run([sys.executable, "-B", str(SUPPORT / "tiny_gguf.py"), str(folder)], check=True)
    return {name: folder / (name + ".gguf") for name in ("tiny", "tinyloop", "tinyembed")}


def digest_of(path):
    return "sha256:" + hashlib.sha256(Path(path).read_bytes()).hexdigest()


def create_model(url, name, path, headers=(), **more):
    """Registers a GGUF file as `name` by the API, as `ollama create` does. The two answers.

    One thread: the runner's threads wait for each other by spinning, which on a busy box costs seconds per answer.
    """
    digest = digest_of(path)
    with Connection(url) as connection:
        blob = connection.request("POST", "/api/blobs/" + digest, Path(path).read_bytes(),
                                  [("Content-Type", "application/octet-stream")] + list(headers))
    made = request(url, "POST", "/api/create", {"model": name, "files": {Path(path).name: digest}, "parameters": {"num_thread": 1}, "stream": False, **more}, headers)
    return blob, made


class RealOllama:
    def __init__(self, folder, binary, models=(), namespace=None, env=None):
        """`models`: name -> GGUF path, or an iterable of such pairs."""
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.binary = binary
        self.port = free_port() if namespace is None else 11434
        self.url = "http://127.0.0.1:%d" % self.port
        self.env = {"OLLAMA_HOST": "127.0.0.1:%d" % self.port, "OLLAMA_MODELS": str(self.folder / "models"), "HOME": str(self.folder),
                    "OLLAMA_KEEP_ALIVE": "30m", "OLLAMA_NOPRUNE": "1", **(env or {})}
        self.process = None
        self.namespace = namespace
        self.start()
        for name, path in dict(models).items():
            blob, made = create_model(self.url, name, path)
            assert blob.status in (200, 201) and made.status == 200, (blob, made, self.process.output()[-2000:])

    def start(self):
        self.process = Process([self.binary, "serve"], self.folder / "ollama.log", self.env, self.namespace)
        wait_until(lambda: request(self.url, path="/api/version").status == 200 if self.namespace is None else True, "Ollama to answer", 30)

    @property
    def version(self):
        return request(self.url, path="/api/version").json()["version"]

    def ask(self, method, path, body=None):
        """Directly, without a herd. Rarely a runner of Ollama takes a request and never begins it (ollama/ollama#15950), and answers
        the next one: what is asked only to be compared with is asked once more then."""
        try:
            return request(self.url, method, path, body, timeout=10.0)
        except TimeoutError:
            return request(self.url, method, path, body)

    def stop(self):
        self.process.stop()
