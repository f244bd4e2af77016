"""LANs out of network namespaces: hosts with cables that can be cut. Needs root; leaves the machine's own network alone.

A `Lan` is a bridge in a namespace of its own; a host is a namespace with one cable (veth pair) per LAN it is on.
Cutting a cable takes the switch's port down: the others keep their carrier, the host falls silent, nobody is told.
"""
import contextlib
import ctypes
import os
import subprocess
import threading

CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)
_serial = 0
_lock = threading.Lock()


def _run(*command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError("%s: %s" % (" ".join(map(str, command)), done.stderr.strip()))
    return done.stdout


def why_not():
    """None when namespaces work here, else the reason they do not."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    try:
        probe = "hprobe%d" % os.getpid()
        _run("ip", "netns", "add", probe)
        try:
            _run("ip", "-n", probe, "link", "add", "hb", "type", "bridge")
            _run("ip", "netns", "exec", probe, "nft", "add", "table", "inet", "t")
        finally:
            _run("ip", "netns", "del", probe)
        return None
    except (OSError, RuntimeError) as error:
        return "network namespaces do not work here (%s)" % error


@contextlib.contextmanager
def inside(namespace):
    """Sockets made by this thread in here belong to `namespace`, and stay there."""
    with open("/proc/thread-self/ns/net") as home, open("/run/netns/" + namespace) as there:
        if _libc.setns(there.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")
        try:
            yield
        finally:
            _libc.setns(home.fileno(), CLONE_NEWNET)


class Network:
    """All namespaces of one test. `host("a", lan)` → name of a namespace; everything goes at close()."""

    def __init__(self):
        global _serial
        with _lock:
            _serial += 1
            self.tag = "h%d_%d" % (os.getpid() % 100000, _serial)
        self.namespaces = []
        self.ports = {}  # (host, lan) -> port name in the switch
        self.lans = 0

    def _namespace(self, name):
        full = "%s_%s" % (self.tag, name)
        _run("ip", "netns", "add", full)
        self.namespaces.append(full)
        _run("ip", "-n", full, "link", "set", "lo", "up")
        return full

    def lan(self):
        """A switch; returns its namespace."""
        self.lans += 1
        switch = self._namespace("lan%d" % self.lans)
        _run("ip", "-n", switch, "link", "add", "br0", "type", "bridge")
        _run("ip", "-n", switch, "link", "set", "br0", "up")
        return switch

    def host(self, name, *lans, addresses=(), default_route=False):
        """A host with a cable into each of `lans`: eth0, eth1 … with `addresses` like 10.1.0.5/24."""
        host = self._namespace(name)
        for i, (switch, address) in enumerate(zip(lans, addresses)):
            port = "p%d" % len(self.ports)
            _run("ip", "-n", switch, "link", "add", port, "type", "veth", "peer", "name", "eth%d" % i, "netns", host)
            _run("ip", "-n", switch, "link", "set", port, "master", "br0", "up")
            _run("ip", "-n", host, "addr", "add", address, "broadcast", "+", "dev", "eth%d" % i)
            _run("ip", "-n", host, "link", "set", "eth%d" % i, "up")
            self.ports[host, switch] = port
        if default_route and addresses:
            _run("ip", "-n", host, "route", "add", "default", "dev", "eth0")
        return host

    def cut(self, host, switch):
        _run("ip", "-n", switch, "link", "set", self.ports[host, switch], "down")

    def mend(self, host, switch):
        _run("ip", "-n", switch, "link", "set", self.ports[host, switch], "up")

    @staticmethod
    def readdress(host, interface, address):
        """The host moves to another address, as with a new DHCP lease."""
        _run("ip", "-n", host, "addr", "flush", "dev", interface, "scope", "global")
        _run("ip", "-n", host, "addr", "add", address, "broadcast", "+", "dev", interface)

    @staticmethod
    def lose(host, percent, protocol="udp"):
        """Drops `percent` of the datagrams that `host` receives, at random."""
        _run("ip", "netns", "exec", host, "nft", "add table inet loss")
        _run("ip", "netns", "exec", host, "nft", "add chain inet loss in { type filter hook input priority 0 ; }")
        _run("ip", "netns", "exec", host, "nft", "add rule inet loss in meta l4proto %s iifname != lo numgen random mod 100 < %d counter drop" % (protocol, percent))

    @staticmethod
    def lost(host):
        """How many datagrams the loss rule has taken."""
        listing = _run("ip", "netns", "exec", host, "nft", "list", "table", "inet", "loss")
        return int(listing.split("packets ")[1].split()[0])

    def close(self):
        for name in reversed(self.namespaces):
            try:
                _run("ip", "netns", "del", name)
            except RuntimeError:
                pass
        self.namespaces = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
