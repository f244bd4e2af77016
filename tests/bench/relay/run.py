#!/usr/bin/env python3
"""Compares herd with nginx, HAProxy and two plain relays, in one run on one machine.

    tests/bench/relay/run.py --bin build/release/bin          # everything found there and on PATH
    tests/bench/relay/run.py --bin build/release/bin --quick  # two short rounds, for a first look

Every proxy has one worker or thread, keeps its connections to the fake Ollama alive, buffers nothing and
writes no access log. The proxies take turns (A B C, A B C, …) and each figure is the median of the rounds, so
that a disturbance of the machine falls on all of them. A single failed or corrupted answer ends the run
without a table. What each figure means is told in README.md beside this file.
"""

import argparse
import atexit
import ctypes
import json
import os
import pathlib
import platform
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

STREAMS = 200
CHUNKS_PER_SECOND = 20
OPEN_STREAMS = 2000
DESCRIPTORS = 3 * OPEN_STREAMS + 1000
LIBC = ctypes.CDLL(None, use_errno=True)
PR_SET_PDEATHSIG = 1


class Refused(Exception):
    """A run that must not be reported."""


def place(cpus, priority):
    """What a child does before exec: its CPUs, its priority, enough descriptors, and to die with us."""

    def prepare():
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if cpus:
            os.sched_setaffinity(0, cpus)
        if priority:
            os.setpriority(os.PRIO_PROCESS, 0, priority)

    return prepare


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Process:
    """A started program; `pid` is the process that does the work."""

    alive = []

    def __init__(self, command, log, cpus, priority, banner=None, pipe=False, environment=None):
        self.log_path = pathlib.Path(log)
        self.log = open(log, "ab")
        self.child = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if banner or pipe else self.log,
            stderr=self.log,
            preexec_fn=place(cpus, priority),
            env=environment,
        )
        Process.alive.append(self)
        self.pid = self.child.pid
        self.port = None
        if banner:
            line = self.child.stdout.readline().decode()
            if banner not in line:
                self.stop()
                raise Refused(f"{command[0]} did not start: {line.strip()} {self.log_text()}")
            self.port = int(line.strip().rsplit(":", 1)[1])

    def log_text(self):
        return self.log_path.read_text(errors="replace")[-600:].strip()

    def stop(self):
        if self in Process.alive:
            Process.alive.remove(self)
        if self.child.poll() is None:
            self.child.terminate()
            try:
                self.child.wait(5)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()
        if self.child.stdout:
            self.child.stdout.close()
        self.log.close()

    @staticmethod
    def stop_all():
        for process in list(Process.alive):
            process.stop()


atexit.register(Process.stop_all)


class Proxy:
    """One contestant: start() brings up a fresh one in front of the backend's port."""

    name = ""

    def __init__(self, options, room, backend_port):
        self.options = options
        self.room = room
        self.backend_port = backend_port
        self.process = None
        self.port = None

    def version(self):
        return ""

    def command(self):
        raise NotImplementedError

    def launch(self, command, **kwargs):
        log = self.room / f"{self.name}.log"
        self.process = Process(command, log, self.options.proxy_cpus, self.options.priority, **kwargs)

    def start(self):
        self.port = free_port()
        self.launch(self.command())
        self.wait_ready()

    def wait_ready(self, path="/api/version", seconds=10):
        """Until a request that herd must route, too, is answered."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=2) as answer:
                    if answer.status == 200:
                        return
            except (urllib.error.URLError, ConnectionError, TimeoutError) as error:
                if self.process and self.process.child.poll() is not None:
                    raise Refused(f"{self.name} ended: {self.process.log_text()}") from error
                if time.monotonic() > deadline:
                    raise Refused(f"{self.name} is not ready: {error}") from error
            time.sleep(0.02)

    def pid(self):
        return self.process.pid

    def stop(self):
        if self.process:
            self.process.stop()
            self.process = None


class Direct(Proxy):
    name = "direct"

    def start(self):
        self.port = self.backend_port

    def pid(self):
        return 0


class Nginx(Proxy):
    name = "nginx"

    def version(self):
        return subprocess.run(["nginx", "-v"], capture_output=True, text=True).stderr.strip().split("/")[-1]

    def command(self):
        folder = self.room / "nginx"
        folder.mkdir(exist_ok=True)
        config = folder / "nginx.conf"
        user = "user root;" if os.geteuid() == 0 else ""
        temp = "\n".join(
            f"    {kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        config.write_text(f"""{user}
worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
worker_rlimit_nofile {DESCRIPTORS};
events {{ worker_connections {DESCRIPTORS}; }}
http {{
{temp}
    access_log off;
    keepalive_requests 1000000000;
    keepalive_timeout 1h;
    upstream backend {{
        server 127.0.0.1:{self.backend_port};
        keepalive 4096;
        keepalive_requests 1000000000;
        keepalive_timeout 1h;
    }}
    server {{
        listen 127.0.0.1:{self.port} backlog=4096;
        location / {{
            proxy_pass http://backend;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering off;
            proxy_request_buffering off;
            proxy_read_timeout 1h;
        }}
    }}
}}
""")
        return ["nginx", "-c", config, "-p", folder]

    def start(self):
        super().start()
        children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        if len(children) != 1:
            raise Refused(f"nginx has {len(children)} workers")
        self.process.pid = int(children[0])


class Haproxy(Proxy):
    name = "haproxy"
    more_defaults = ""
    choice = "default_backend node"

    def version(self):
        text = subprocess.run(["haproxy", "-v"], capture_output=True, text=True).stdout
        return text.split()[2].split("-")[0]

    def command(self):
        config = self.room / "haproxy.cfg"
        config.write_text(f"""global
    nbthread 1
    maxconn {OPEN_STREAMS + 500}
defaults
    mode http
    timeout connect 5s
    timeout client 1h
    timeout server 1h
    timeout http-keep-alive 1h
    http-reuse always
    option http-no-delay
{self.more_defaults}frontend bench
    bind 127.0.0.1:{self.port} backlog 4096
    {self.choice}
backend node
    server node 127.0.0.1:{self.backend_port} maxconn {OPEN_STREAMS + 500}
""")
        return ["haproxy", "-db", "-f", config]


class HaproxyModel(Haproxy):
    """HAProxy made to do what a router of models has to: it reads the model out of the body, looks up who has it, chooses
    the least busy server, and keeps a line about each request in memory."""

    name = "haproxy+model"

    def command(self):
        table = self.room / "models.map"
        table.write_text("bench:latest node\nbench:70b other\n")
        self.more_defaults = f"""    balance leastconn
    log ring@lines local0
    log-format "%ci %[var(txn.model)] %b %ST %TR/%Tw/%Tc/%Tr/%Ta %B %tsc"
ring lines
    size 1048576
    maxlen 600
"""
        self.choice = f"""option http-buffer-request
    http-request set-var(txn.model) req.body,json_query('$.model')
    use_backend %[var(txn.model),map({table})] if {{ var(txn.model) -m found }}
    default_backend node"""
        return super().command()


class PlainRelay(Proxy):
    name = "plain relay"
    program = "bench_plain_relay"

    def start(self):
        command = [self.options.bin / self.program, "--target", f"127.0.0.1:{self.backend_port}"]
        self.launch(command, banner="listening on")
        self.port = self.process.port


class HttpRelay(PlainRelay):
    name = "http relay"
    program = "bench_http_relay"


class Herd(Proxy):
    """As a person starts it: every request leaves a record in the database."""

    name = "herd"
    more_config = ""

    def version(self):
        text = subprocess.run([self.options.herd, "--version"], capture_output=True, text=True).stdout.split()
        return text[-1] if text else "?"

    def start(self):
        config = self.room / "herd.toml"
        config.write_text(f"""state_dir = "{self.room}/herd"
[discovery]
enabled = false
{self.more_config}[[node]]
name = "bench"
url = "http://127.0.0.1:{self.backend_port}"
slots = 4096
""")
        shutil.rmtree(self.room / "herd", ignore_errors=True)  # each round begins with an empty database
        (self.room / "herd").mkdir()
        command = [self.options.herd, "--config", config, "--listen", "127.0.0.1:0", "--threads", "1"]
        command += ["--log-level", "warn", *self.options.herd_args]
        clean = {key: value for key, value in os.environ.items() if not key.startswith("HERD_")}
        self.launch(command, banner="listening on", environment=clean)
        self.port = self.process.port
        self.wait_ready("/readyz")


class HerdUnrecorded(Herd):
    """Nothing is written down, as with the others."""

    name = "herd, no db"
    more_config = "[store]\nenabled = false\n"


def run_load(options, proxy, kind, **flags):
    """One measurement; a dictionary as bench_load prints it."""
    command = [options.bin / "bench_load", kind, "--target", f"127.0.0.1:{proxy.port}", "--pid", proxy.pid()]
    for flag, value in flags.items():
        command += ["--" + flag.replace("_", "-"), value]
    process = Process(command, proxy.room / "load.log", options.load_cpus, options.priority, pipe=True)
    output = process.child.stdout.read().decode().strip()
    process.child.wait()
    text = process.log_text()
    process.stop()
    result = json.loads(output) if output else {"failed": f"no result ({text})"}
    if "failed" in result:
        raise Refused(f"{proxy.name}, {kind} {flags}: {result['failed']}\n{proxy.process.log_text() if proxy.process else ''}")
    return result


def measure(options, proxy):
    """All figures of one proxy in one round."""
    figures = {}
    seconds = options.seconds
    proxy.start()
    small = run_load(options, proxy, "requests", connections=64, seconds=seconds)
    figures["rps"] = small["per_second"]
    figures["request_cpu"] = small["cpu_us"]
    streams = run_load(
        options, proxy, "streams", connections=STREAMS, rate=CHUNKS_PER_SECOND, seconds=seconds + 1
    )
    figures["chunk_cpu"] = streams["cpu_us"]
    figures["chunk_p50"] = streams["p50_us"]
    figures["chunk_p99"] = streams["p99_us"]
    first = run_load(options, proxy, "requests", connections=1, rate=1, warmup_ms=300, seconds=max(1, seconds // 2))
    figures["first_p50"] = first["first_p50_us"]
    figures["first_p99"] = first["first_p99_us"]
    proxy.stop()
    if proxy.name != "direct":
        proxy.start()  # a fresh process, warmed by a few requests, so that growth means the streams
        run_load(options, proxy, "requests", connections=1, warmup_ms=100, seconds=1)
        idle = run_load(options, proxy, "streams", connections=OPEN_STREAMS, rate=1, seconds=2)
        figures["rss_rest"] = idle["rss_before"]
        figures["rss_stream"] = idle["rss_per_stream"]
        figures["rss_total"] = idle["rss_during"]
        proxy.stop()
    return figures


ROWS = [
    # key, label, unit, digits, scale, shown as added to direct
    ("rps", "small requests per second", "/s", 0, 1, False),
    ("request_cpu", "CPU per small request", "µs", 2, 1, False),
    ("chunk_cpu", "CPU per streamed chunk", "µs", 2, 1, False),
    ("chunk_p50", "chunk latency p50", "µs", 1, 1, False),
    ("chunk_p99", "chunk latency p99", "µs", 1, 1, False),
    ("chunk_p50", "added latency per chunk, p50", "µs", 1, 1, True),
    ("chunk_p99", "added latency per chunk, p99", "µs", 1, 1, True),
    ("first_p50", "added time to first byte, p50", "µs", 1, 1, True),
    ("first_p99", "added time to first byte, p99", "µs", 1, 1, True),
    ("rss_stream", "RSS growth per open stream", "KiB", 2, 1 / 1024, False),
    ("rss_rest", "RSS before, after some requests", "MiB", 1, 1 / 1048576, False),
    ("rss_total", "RSS with all streams open", "MiB", 1, 1 / 1048576, False),
]


def print_table(title, names, rows):
    width = max(len(row[0]) for row in rows)
    print(f"\n{title}")
    print(" " * width + "".join(f"{name:>15}" for name in names))
    for label, cells in rows:
        print(f"{label:<{width}}" + "".join(f"{cell:>15}" for cell in cells))


def report(names, medians, rounds_of):
    absolute, ratios = [], []
    for key, label, unit, digits, scale, added in ROWS:
        values = {}
        for name in names:
            if key in medians[name]:
                value = medians[name][key]
                if added:
                    if "direct" not in medians or name == "direct":
                        continue
                    value -= medians["direct"][key]
                if value >= 0 and not (name == "direct" and key.endswith("_cpu")):
                    values[name] = value * scale
        absolute.append((f"{label} [{unit}]", [f"{values[n]:.{digits}f}" if n in values else "-" for n in names]))
        base = values.get("haproxy")
        if base:
            cells = [f"{values[n] / base:.2f}" if n in values and n != "direct" else "-" for n in names]
            ratios.append((label, cells))
    print_table(f"median of {rounds_of} rounds", names, absolute)
    if ratios:
        print_table("relative to HAProxy (for requests per second more is better, else less)", names, ratios)


def choose_cpus(options):
    """The proxy has a CPU for itself; backend and load share another, or have one each."""
    cpus = sorted(os.sched_getaffinity(0))
    if options.no_pinning or len(cpus) < 2:
        options.proxy_cpus = options.backend_cpus = options.load_cpus = None
    else:
        options.proxy_cpus = {cpus[0]}
        options.backend_cpus = {cpus[1]}
        options.load_cpus = {cpus[2 if len(cpus) > 2 else 1]}


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--bin", type=pathlib.Path, default=pathlib.Path("build/release/bin"))
    parser.add_argument("--herd", type=pathlib.Path, help="default: herd in --bin")
    parser.add_argument("--herd-args", nargs="*", default=[], help="more arguments for herd")
    parser.add_argument("--only", help="comma list of: direct, nginx, haproxy, haproxy-model, plain, http, herd, unrecorded")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4, help="length of each measured window")
    parser.add_argument("--quick", action="store_true", help="two rounds, windows of two seconds")
    parser.add_argument("--priority", type=int, default=0, help="nice value of all programs (negative needs root)")
    parser.add_argument("--no-pinning", action="store_true", help="let the scheduler place the programs")
    parser.add_argument("--json", type=pathlib.Path, help="also write every figure of every round here")
    options = parser.parse_args()
    options.bin = options.bin.resolve()
    options.herd = (options.herd or options.bin / "herd").resolve()
    if options.quick:
        options.rounds, options.seconds = 2, 2
    return options


def contestants(options, room, backend_port):
    available = {
        "direct": (Direct, True),
        "nginx": (Nginx, shutil.which("nginx")),
        "haproxy": (Haproxy, shutil.which("haproxy")),
        "haproxy-model": (HaproxyModel, shutil.which("haproxy")),
        "plain": (PlainRelay, (options.bin / PlainRelay.program).exists()),
        "http": (HttpRelay, (options.bin / HttpRelay.program).exists()),
        "herd": (Herd, options.herd.exists()),
        "unrecorded": (HerdUnrecorded, options.herd.exists()),
    }
    wanted = options.only.split(",") if options.only else list(available)
    chosen = []
    for name in wanted:
        if name not in available:
            sys.exit(f"--only: no contestant '{name}'; there are {', '.join(available)}")
        kind, there = available[name]
        if there:
            chosen.append(kind(options, room, backend_port))
        else:
            print(f"not here, left out: {name}")
    return chosen


def main():
    options = parse_arguments()
    choose_cpus(options)
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < DESCRIPTORS:
        sys.exit(f"{DESCRIPTORS} descriptors are needed for {OPEN_STREAMS} streams, the limit is {hard}: ulimit -n")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 20000) if hard > 0 else 20000), hard))
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))

    with tempfile.TemporaryDirectory(prefix="herd-bench-") as folder:
        room = pathlib.Path(folder)
        try:
            backend = Process(
                [options.bin / "bench_backend"], room / "backend.log", options.backend_cpus, options.priority,
                banner="listening on",
            )
            proxies = contestants(options, room, backend.port)
            print(f"{platform.machine()}, {os.cpu_count()} CPUs, Linux {platform.release()}, load {os.getloadavg()[0]:.2f}; "
                  + ", ".join(f"{p.name} {p.version()}".strip() for p in proxies))
            rounds = {proxy.name: [] for proxy in proxies}
            for number in range(options.rounds):
                for proxy in proxies:
                    print(f"round {number + 1}/{options.rounds}: {proxy.name}", file=sys.stderr, flush=True)
                    rounds[proxy.name].append(measure(options, proxy))
            medians = {
                name: {key: statistics.median(figures[key] for figures in all_figures) for key in all_figures[0]}
                for name, all_figures in rounds.items()
            }
            report([proxy.name for proxy in proxies], medians, options.rounds)
            if options.json:
                options.json.write_text(json.dumps({"rounds": rounds, "medians": medians}, indent=1))
        except Refused as refused:
            print(f"\nNo result: {refused}", file=sys.stderr)
            return 1
        finally:
            Process.stop_all()
    return 0


if __name__ == "__main__":
    sys.exit(main())
