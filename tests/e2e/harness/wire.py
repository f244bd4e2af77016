"""HTTP/1.1 on a plain socket: what was really sent and received, chunk by chunk.

Libraries for HTTP repair and hide; a test of a proxy wants to see. Requests may also be given as raw bytes.
"""
import json
import socket
import time
from urllib.parse import urlsplit


class Answer:
    """One response: `headers` in order as received, `body` joined, `chunks` as framed, `ended` = properly terminated."""

    def __init__(self, status, reason, headers):
        self.status, self.reason, self.headers = status, reason, headers
        self.body, self.chunks, self.times = b"", [], []
        self.ended = False

    def header(self, name, default=None):
        found = [value for key, value in self.headers if key.lower() == name.lower()]
        return found[0] if found else default

    def json(self):
        return json.loads(self.body)

    def lines(self):
        """NDJSON documents, in order."""
        return [json.loads(line) for line in self.body.split(b"\n") if line.strip()]

    def events(self):
        """SSE events as (event, data); data is parsed when it is JSON."""
        found = []
        for block in self.body.decode("utf-8", "replace").replace("\r\n", "\n").split("\n\n"):
            name, data = None, []
            for line in block.split("\n"):
                if line.startswith("event:"):
                    name = line[6:].strip()
                elif line.startswith("data:"):
                    data.append(line[5:].strip())
            if data:
                text = "\n".join(data)
                try:
                    found.append((name, json.loads(text)))
                except ValueError:
                    found.append((name, text))
        return found

    def __repr__(self):
        return "<%d %s %s>" % (self.status, self.header("content-type"), self.body[:300])


class Connection:
    """A connection to `url` (http://host:port). Timeouts are per read."""

    def __init__(self, url, timeout=30.0, source=None):
        """`source`: the address to come from, as another client would."""
        parts = urlsplit(url if "://" in url else "http://" + url)
        self.host, self.port = parts.hostname, parts.port or 80
        self.socket = socket.create_connection((self.host, self.port), timeout=timeout, source_address=(source, 0) if source else None)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def reset(self):
        """Closes with RST, as a crashed client."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.socket.close()

    # ------------------------------------------------------------------------------------------------- sending
    def send_raw(self, data):
        self.socket.sendall(data)

    def send(self, method, path, body=None, headers=()):
        """`body`: bytes, or anything JSON. Headers given replace the usual ones of the same name."""
        payload = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        given = list(headers.items()) if isinstance(headers, dict) else list(headers)
        names = {name.lower() for name, _ in given}
        usual = [("Host", "%s:%d" % (self.host, self.port))]
        if body is not None:
            usual += [("Content-Type", "application/json"), ("Content-Length", str(len(payload)))]
        if "transfer-encoding" in names:
            usual = [pair for pair in usual if pair[0] != "Content-Length"]
        fields = [pair for pair in usual if pair[0].lower() not in names] + given
        head = "%s %s HTTP/1.1\r\n" % (method, path) + "".join("%s: %s\r\n" % pair for pair in fields) + "\r\n"
        self.send_raw(head.encode("latin-1") + payload)

    # ----------------------------------------------------------------------------------------------- receiving
    def _more(self):
        data = self.socket.recv(65536)
        self.buffer += data
        return bool(data)

    def _line(self):
        while b"\r\n" not in self.buffer:
            if not self._more():
                raise ConnectionError("closed inside a line: %r" % self.buffer[:200])
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        return line

    def head(self):
        """The next response head; 1xx are skipped. ConnectionError when the server just closed."""
        while True:
            first = self._line()
            version, status, *reason = first.split(b" ", 2)
            if not version.startswith(b"HTTP/1."):
                raise ValueError("not an HTTP answer: %r" % first[:100])
            fields = []
            while True:
                line = self._line()
                if not line:
                    break
                name, value = line.split(b":", 1)
                fields.append((name.decode("latin-1"), value.strip(b" \t").decode("latin-1")))
            if int(status) >= 200 or int(status) == 101:
                return Answer(int(status), reason[0].decode("latin-1") if reason else "", fields)

    def pieces(self, answer, method="GET"):
        """Yields the body as it arrives (chunks as framed), filling `answer` on the way."""
        def took(data):
            answer.body += data
            answer.chunks.append(data)
            answer.times.append(time.monotonic())
            return data

        if method == "HEAD" or answer.status in (204, 304):
            answer.ended = True
            return
        if (answer.header("transfer-encoding") or "").lower() == "chunked":
            while True:
                try:
                    size = int(self._line().split(b";")[0], 16)
                except ConnectionError:
                    return  # cut: `ended` stays False
                if size == 0:
                    while self._line():
                        pass
                    answer.ended = True
                    return
                while len(self.buffer) < size + 2:
                    if not self._more():
                        yield took(self.buffer)
                        return
                data, self.buffer = self.buffer[:size], self.buffer[size + 2:]
                yield took(data)
        elif answer.header("content-length") is not None:
            left = int(answer.header("content-length"))
            while left:
                if not self.buffer and not self._more():
                    return
                data, self.buffer = self.buffer[:left], self.buffer[left:]
                left -= len(data)
                yield took(data)
            answer.ended = True
        else:
            while self.buffer or self._more():
                data, self.buffer = self.buffer, b""
                yield took(data)
            answer.ended = True

    def answer(self, method="GET"):
        """The next whole response."""
        answer = self.head()
        try:
            for _ in self.pieces(answer, method):
                pass
        except ConnectionResetError:
            pass
        return answer

    def request(self, method, path, body=None, headers=()):
        self.send(method, path, body, headers)
        return self.answer(method)

    def closed_by_peer(self, seconds=5.0):
        """True when the other side closes (or resets) within `seconds` without sending more."""
        self.socket.settimeout(seconds)
        try:
            return not self.buffer and self.socket.recv(1) == b""
        except ConnectionResetError:
            return True
        except socket.timeout:
            return False


def request(url, method="GET", path="/", body=None, headers=(), timeout=30.0):
    """One request on a connection of its own."""
    with Connection(url, timeout) as connection:
        return connection.request(method, path, body, headers)
