"""A backend that does exactly what a test tells it to, and remembers every byte it was sent.

It answers the probes of a herd (version, tags, ps, show) by itself; everything else goes to `script`, a function
(Exchange) -> None that writes whatever bytes it likes. One thread per connection.
"""
import json
import os
import socket
import threading

from .process import wait_until

DIGEST = "ab" * 32


class Exchange:
    """One request as the backend saw it, and the socket to answer on."""

    def __init__(self, connection, method, target, headers, body):
        self.socket, self.method, self.target, self.headers, self.body = connection, method, target, headers, body
        self.peer = connection.getpeername()

    def header(self, name):
        return next((v for k, v in self.headers if k.lower() == name.lower()), None)

    def send(self, data):
        self.socket.sendall(data)

    def answer(self, status=200, body=b"", content_type="application/json; charset=utf-8", headers=()):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        head = "HTTP/1.1 %d X\r\n" % status + "".join("%s: %s\r\n" % pair for pair in headers)
        if content_type:
            head += "Content-Type: %s\r\n" % content_type
        self.send(head.encode() + b"Content-Length: %d\r\n\r\n" % len(data) + (b"" if self.method == "HEAD" else data))

    def begin(self, content_type="application/x-ndjson", headers=()):
        self.send(("HTTP/1.1 200 OK\r\nContent-Type: %s\r\nTransfer-Encoding: chunked\r\n%s\r\n"
                   % (content_type, "".join("%s: %s\r\n" % pair for pair in headers))).encode())

    def chunk(self, data):
        self.send(b"%x\r\n" % len(data) + data + b"\r\n")

    def end(self):
        self.send(b"0\r\n\r\n")

    def close(self):
        """At once, although a reader is attached."""
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._drop()

    def _drop(self):
        descriptor = self.socket.detach()
        if descriptor >= 0:  # else the other side was faster
            os.close(descriptor)

    def reset(self):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self._drop()

    def wait_for_close(self, seconds):
        """True when the other side closes within `seconds`."""
        self.socket.settimeout(seconds)
        try:
            return self.socket.recv(1) == b""
        except ConnectionResetError:
            return True
        except (socket.timeout, OSError):
            return False


class ScriptedOllama:
    PROBES = {("GET", "/"), ("HEAD", "/"), ("GET", "/api/version"), ("HEAD", "/api/version"), ("GET", "/api/tags"), ("GET", "/api/ps"),
              ("POST", "/api/show"), ("POST", "/ollana/api/authorize"), ("GET", "/herd/v1/node"), ("GET", "/herd/v1/status")}

    def __init__(self, models=("m:latest",), script=None, version="0.11.4", loaded=(), tls=None, host="127.0.0.1", port=0):
        """`tls`: an ssl.SSLContext to serve with."""
        self.tls = tls
        self.models, self.version, self.loaded = list(models), version, list(loaded)
        self.script = script or (lambda exchange: exchange.answer(200, {"model": "m", "done": True}))
        self.seen = []  # requests that are not probes, in order of arrival
        self.open_requests = 0
        self.key = None  # where set, /api/show is for who has it as a bearer
        self._lock = threading.Lock()
        self._closing = False
        self.heads = []  # (method, target, headers) of everything that came, probes too
        self._listener = socket.create_server((host, port), backlog=256)
        self.port = self._listener.getsockname()[1]
        self.url = "%s://%s:%d" % ("https" if tls else "http", host, self.port)
        self._connections = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self._closing = True
        # Closing alone does not wake a thread in accept(): shut the listener down first.
        try:
            self._listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._listener.close()
        for connection in list(self._connections):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def wait_for(self, count, seconds=5.0):
        """Waits until `count` requests have come."""
        wait_until(lambda: len(self.seen) >= count, "%d requests at the backend" % count, seconds)
        return self.seen

    def _accept(self):
        while not self._closing:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._connections.add(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.tls:
                self._connections.discard(connection)
                connection = self.tls.wrap_socket(connection, server_side=True)
                self._connections.add(connection)
            reader = connection.makefile("rb")
            while not self._closing and self._one(connection, reader):
                pass
        except (OSError, ValueError):
            pass
        finally:
            self._connections.discard(connection)
            connection.close()

    def _one(self, connection, reader):
        first = reader.readline()
        if not first.strip():
            return False
        method, target, _ = first.decode("latin-1").split(" ", 2)
        headers = []
        while True:
            line = reader.readline().decode("latin-1").rstrip("\r\n")
            if not line:
                break
            name, value = line.split(":", 1)
            headers.append((name, value.strip()))
        fields = {k.lower(): v for k, v in headers}
        self.heads.append((method, target, fields))
        exchange = Exchange(connection, method, target, headers, b"")
        path = target.split("?", 1)[0]
        probe = (method, path) in self.PROBES
        if fields.get("expect", "").lower() == "100-continue":
            connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        if not getattr(self, "leave_bodies", False) or probe:
            exchange.body = self._body(reader, fields)
        if probe:
            self._probe(exchange, path)
            return True
        with self._lock:
            self.seen.append(exchange)
            self.open_requests += 1
        try:
            self.script(exchange)
        finally:
            with self._lock:
                self.open_requests -= 1
        return not connection._closed and fields.get("connection", "").lower() != "close"

    @staticmethod
    def _body(reader, fields):
        if fields.get("transfer-encoding", "").lower() == "chunked":
            body = b""
            while True:
                size = int(reader.readline().split(b";")[0], 16)
                body += reader.read(size)
                reader.readline()
                if size == 0:
                    return body
        return reader.read(int(fields.get("content-length", 0)))

    def _probe(self, exchange, path):
        details = {"parent_model": "", "format": "gguf", "family": "llama", "families": ["llama"],
                   "parameter_size": "1B", "quantization_level": "Q4_K_M"}
        if path == "/":
            exchange.answer(200, b"Ollama is running", "text/plain; charset=utf-8")
        elif path == "/api/version":
            exchange.answer(200, {"version": self.version})
        elif path == "/api/tags":
            exchange.answer(200, {"models": [{"name": m, "model": m, "modified_at": "2026-01-02T03:04:05.678901234Z", "size": 1000,
                                              "digest": DIGEST, "details": details} for m in self.models]})
        elif path == "/api/ps":
            exchange.answer(200, {"models": [{"name": m, "model": m, "size": 1000, "size_vram": 0, "digest": DIGEST, "details": details,
                                              "expires_at": "2318-01-02T03:04:05Z", "context_length": 4096} for m in self.loaded]})
        elif path == "/api/show" and self.key and exchange.header("Authorization") != "Bearer " + self.key:
            exchange.answer(401, {"error": "unauthorized"})
        elif path == "/api/show":
            exchange.answer(200, {"details": details, "model_info": {"general.architecture": "llama", "llama.context_length": 8192},
                                  "capabilities": ["completion"], "modified_at": "2026-01-02T03:04:05.678901234Z"})
        else:
            exchange.answer(404, b"404 page not found", "text/plain")
