"""A small HTTP server on the loopback interface, whose answers a test chooses."""

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Loopback:
    """Answers of `routes` by path without its query: bytes, a status, or a function of the handler."""

    def __init__(self, port):
        self.url = f"http://127.0.0.1:{port}"
        self.port = port
        self.routes = {}
        self.requests = []
        self.released = threading.Event()

    def paths(self):
        return [path for _, path, _ in self.requests]

    def hang(self, _handler):
        """Accept a request and never answer it while the test runs."""
        self.released.wait(60)


@contextmanager
def serving():
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.server.loopback.requests.append((dict(self.headers), self.path, body))
            answer = self.server.loopback.routes.get(self.path.partition("?")[0], 404)
            if callable(answer):
                answer(self)
            elif isinstance(answer, bytes):
                send(self, answer)
            else:
                self.send_error(answer)

        do_HEAD = do_POST = do_PATCH = do_DELETE = do_GET  # noqa: N815

        def log_message(self, *_args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.loopback = Loopback(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server.loopback
    finally:
        server.loopback.released.set()
        server.shutdown()
        server.server_close()
        thread.join()


def send(handler, body, *, content_type="application/octet-stream", length=None, status=200):
    handler.send_response(status)
    handler.send_header("Content-Type", content_type)
    handler.send_header("Content-Length", str(len(body) if length is None else length))
    handler.end_headers()
    if handler.command != "HEAD":
        handler.wfile.write(body)
