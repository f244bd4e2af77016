"""The program Ollana as a peer meets it, by the facts of lana.md 12: `python -m harness.ollana client|server …`.

A process of its own, because Ollana's client *ends* when what it found does not speak as it expects, and that is what a
herd must never bring about. Both proxies drop every header in both directions and send all bodies chunked; nothing is
gentler here than there. `--every` shortens the five seconds between queries, and `--poll` the ten between looks.
"""
import argparse
import hashlib
import http.client
import http.server
import json
import os
import socket
import socketserver
import ssl
import subprocess
import sys
import threading
import time

LANA = b"LANA"
UDP, TCP = 11436, 11435


def say(event, **more):
    os.write(1, json.dumps({"event": event, **more}).encode() + b"\n")  # whole lines, whichever thread


def own_id(name):
    """Ollana's is the SHA-256 of a private key; here of a name."""
    return hashlib.sha256(name.encode()).hexdigest()


def trusting():
    """Any certificate will do, no SNI is sent, HTTP/1.1."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


class Unnamed(http.client.HTTPSConnection):
    """TLS to an IP literal: without a server name."""

    def connect(self):
        http.client.HTTPConnection.connect(self)
        self.sock = self._context.wrap_socket(self.sock)


def pieces(body):
    """A chunked body, as reqwest streams one: also an empty one, and also on GET."""
    if body:
        yield body


def call(connection, method, path, body, device):
    headers = {"Transfer-Encoding": "chunked", **({"X-Ollana-Device-Id": device} if device else {})}
    connection.request(method, path, pieces(body), headers, encode_chunked=True)
    return connection.getresponse()


class Quiet(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def body(self):
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            whole = b""
            while True:
                size = int(self.rfile.readline().split(b";")[0], 16)
                if size:
                    whole += self.rfile.read(size)
                self.rfile.readline()
                if not size:
                    return whole
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def bare(self, answer):
        """Status and body, no header: what both of Ollana's proxies let through. The type is its library's (seen of 0.6.3)."""
        self.send_response_only(answer.status)
        self.send_header("content-type", "application/octet-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        while self.command != "HEAD":
            piece = answer.read1(65536)
            self.wfile.write(b"%x\r\n" % len(piece) + piece + b"\r\n")
            self.wfile.flush()
            if not piece:
                return

    def whole(self, status, kind, text):
        self.send_response_only(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def forward(self):
        raise NotImplementedError

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_OPTIONS = do_PATCH = lambda self: self.forward()


class Threading(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def handle_error(self, *_):
        pass


# ------------------------------------------------------------------------------------------------------- client mode

class Client:
    def __init__(self, options):
        self.options, self.id = options, own_id(options.name)
        self.queue, self.lock, self.proxy = [], threading.Lock(), None
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        self.udp.bind(("0.0.0.0", 0))

    def ask(self):
        while True:
            try:
                self.udp.sendto(LANA, ("255.255.255.255", UDP))
            except OSError as error:
                say("send_failed", why=str(error))
            time.sleep(self.options.every)

    def hear(self):
        buffer = bytearray(4)
        while True:
            count, source = self.udp.recvfrom_into(buffer, 4)
            say("datagram", source=source[0], port=source[1], bytes=count)
            if bytes(buffer) == LANA:
                self.authorize(source[0])

    def authorize(self, address):
        """Its error propagates to main: the process ends."""
        try:
            answer = call(Unnamed(address, TCP, context=trusting(), timeout=20), "POST", "/ollana/api/authorize", b"", self.id)
            text = answer.read()
            if answer.status == 401:
                say("unauthorized", server=address, body=text.decode())
                return
            server = json.loads(text)["device_id"]
        except Exception as error:  # whatever it is
            say("exit", why=repr(error))
            os._exit(1)
        if server not in self.options.allow:
            say("server_not_allowed", server=address, device=server)
            return
        with self.lock:
            if address not in self.queue:
                self.queue.append(address)
                say("added", server=address)
            self.settle()

    def settle(self):
        """127.0.0.1:11434 is there only while a server is active."""
        if self.queue and self.proxy is None:
            client = self

            class Handler(Quiet):
                def forward(self):
                    body = self.body()
                    with client.lock:
                        server = client.queue[0] if client.queue else None
                    try:
                        answer = call(Unnamed(server, TCP, context=trusting()), self.command, self.path, body, client.id)
                    except Exception as error:
                        return self.whole(500, "text/plain", repr(error).encode())
                    self.bare(answer)
            self.proxy = Threading(("127.0.0.1", 11434), Handler)
            threading.Thread(target=self.proxy.serve_forever, daemon=True).start()
            say("serving", server=self.queue[0])
        elif not self.queue and self.proxy is not None:
            self.proxy.shutdown()
            self.proxy.server_close()
            self.proxy = None
            say("idle")

    def watch(self):
        while True:
            time.sleep(self.options.poll)
            with self.lock:
                active = self.queue[0] if self.queue else None
            if active is None:
                continue
            try:
                answer = call(Unnamed(active, TCP, context=trusting()), "GET", "/api/version", b"", None)
                good = answer.status == 200 and isinstance(json.loads(answer.read())["version"], str)
            except Exception:
                good = False
            say("looked", server=active, good=good)
            if not good:
                with self.lock:
                    self.queue.remove(active)
                    say("removed", server=active)
                    self.settle()

    def run(self):
        say("started", device=self.id)
        for work in (self.ask, self.watch):
            threading.Thread(target=work, daemon=True).start()
        self.hear()


# ------------------------------------------------------------------------------------------------------- server mode

class Server:
    def __init__(self, options):
        self.options, self.id, self.alive = options, own_id(options.name), True
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)  # no SO_REUSEADDR, as there
        self.udp.bind(("0.0.0.0", UDP))

    def hear(self):
        buffer = bytearray(4)
        while True:
            count, source = self.udp.recvfrom_into(buffer, 4)
            if bytes(buffer) == LANA and self.alive:
                say("query", source=source[0], port=source[1], bytes=count)
                self.udp.sendto(LANA, source)

    def watch(self):
        while True:
            try:
                connection = http.client.HTTPConnection("127.0.0.1", 11434, timeout=5)
                connection.request("GET", "/api/version")
                self.alive = isinstance(json.loads(connection.getresponse().read())["version"], str)
            except Exception:
                self.alive = False
            time.sleep(self.options.poll)

    def handler(self):
        server = self

        class Handler(Quiet):
            def forward(self):
                body, device = self.body(), self.headers.get("X-Ollana-Device-Id")
                say("request", method=self.command, path=self.path, device=device, fields=sorted(name.lower() for name in self.headers))
                allowed = device in server.options.allow
                if self.path.split("?")[0] != "/api/version" and not allowed:
                    return self.whole(401, "text/plan", b"Device is not authorized")
                if self.path == "/ollana/api/authorize" and self.command == "POST":
                    return self.whole(200, "application/json", json.dumps({"device_id": server.id}).encode())
                connection = http.client.HTTPConnection("127.0.0.1", 11434)
                try:
                    connection.request(self.command, self.path, pieces(body), {"Transfer-Encoding": "chunked"}, encode_chunked=True)
                    answer = connection.getresponse()
                except Exception as error:
                    return self.whole(500, "text/plain", repr(error).encode())
                self.bare(answer)
        return Handler

    def run(self):
        folder = self.options.folder
        certificate, key = os.path.join(folder, "cert.pem"), os.path.join(folder, "key.pem")
        if not os.path.exists(certificate):
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj", "/CN=*",
                            "-keyout", key, "-out", certificate], check=True, capture_output=True)
        web = Threading(("0.0.0.0", TCP), self.handler())
        if not self.options.plain:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate, key)
            web.socket = context.wrap_socket(web.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=web.serve_forever, daemon=True).start()
        threading.Thread(target=self.watch, daemon=True).start()
        say("started", device=self.id)
        self.hear()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("mode", choices=("client", "server"))
    parser.add_argument("--name", required=True)
    parser.add_argument("--allow", action="append", default=[])
    parser.add_argument("--every", type=float, default=5)
    parser.add_argument("--poll", type=float, default=10)
    parser.add_argument("--folder", default=".")
    parser.add_argument("--plain", action="store_true", help="server: as before 0.4.1")
    options = parser.parse_args()
    (Client if options.mode == "client" else Server)(options).run()


if __name__ == "__main__":
    sys.exit(main())
