"""What the end-to-end tests are written with: processes, plain HTTP on sockets, namespaces, servers to stand behind.

Standard library only, so that the tests run wherever Python and pytest do. Nothing here sleeps for a fixed time:
whoever waits says for what, and until when.
"""
from .process import Process, Timeout, free_port, report, wait_until
from .wire import Answer, Connection, request

__all__ = ["Answer", "Connection", "Process", "Timeout", "free_port", "report", "request", "wait_until"]
