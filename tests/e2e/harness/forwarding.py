"""A proxy between herd and a node: HTTP's CONNECT and SOCKS 5 on one port, with names of its own and, where asked,
a user and a password. It remembers whom it was asked for."""
import base64
import contextlib
import socket
import threading


class ForwardingProxy:
    def __init__(self, names=None, login=None):
        """`names`: {"gpu.example": "127.0.0.1"}, known here alone. `login`: ("user", "password")."""
        self.names, self.login = names or {}, login
        self.asked = []  # (kind, host, port)
        self.refuse = False
        self.flood = False  # says 100 Continue for ever
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._sockets = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._listener.close()
        self.cut()

    def cut(self):
        """Ends all that goes through it."""
        for each in list(self._sockets):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def url(self, scheme, login=""):
        return "%s://%s127.0.0.1:%d" % (scheme, login, self.port)

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        self._sockets.add(client)
        try:
            first = client.recv(1, socket.MSG_PEEK)
            way = self._socks(client) if first == b"\5" else self._connect(client)
            if way:
                self._sockets.add(way)
                back = threading.Thread(target=self._copy, args=(way, client), daemon=True)
                back.start()
                self._copy(client, way)
                back.join()
                self._sockets.discard(way)
                way.close()
        except (OSError, AssertionError, IndexError):
            pass
        self._sockets.discard(client)
        client.close()

    @staticmethod
    def _copy(source, to):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                to.sendall(data)
        for each in (source, to):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _open(self, kind, host, port):
        self.asked.append((kind, host, port))
        return None if self.refuse else socket.create_connection((self.names.get(host, host), port))

    def _connect(self, client):
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += client.recv(1)
        lines = head.decode().split("\r\n")
        method, target, _ = lines[0].split(" ")
        assert method == "CONNECT" and "Host: " + target in lines
        wanted = "Proxy-Authorization: Basic " + base64.b64encode(":".join(self.login).encode()).decode() if self.login else None
        if wanted and wanted not in lines:
            client.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n")
            return None
        while self.flood:
            client.sendall(b"HTTP/1.1 100 Continue\r\n\r\n" * 4000)
        host, port = target.rsplit(":", 1)
        way = self._open("connect", host.strip("[]"), int(port))
        client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n" if way else b"HTTP/1.1 503 No\r\n\r\n")
        return way

    def _socks(self, client):
        def take(count):
            data = b""
            while len(data) < count:
                more = client.recv(count - len(data))
                assert more
                data += more
            return data
        methods = take(take(2)[1])
        method = b"\2" if self.login else b"\0"
        if method not in methods:
            client.sendall(b"\5\xff")
            return None
        client.sendall(b"\5" + method)
        if self.login:
            user = take(take(2)[1]).decode()
            password = take(take(1)[0]).decode()
            client.sendall(b"\1\0" if (user, password) == self.login else b"\1\1")
            if (user, password) != self.login:
                return None
        kind = take(4)[3]
        host = take(take(1)[0]).decode() if kind == 3 else socket.inet_ntop(socket.AF_INET if kind == 1 else socket.AF_INET6, take(4 if kind == 1 else 16))
        way = self._open("socks5", host, int.from_bytes(take(2), "big"))
        client.sendall(b"\5" + (b"\0" if way else b"\2") + b"\0\1\0\0\0\0\0\0")
        return way
