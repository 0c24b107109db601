"""ClickHouse's HTTP interface over chDB in this process: what the client sends to a server is carried out."""

import base64
import contextlib
import tempfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

_DATA = b"FORMAT Native\n"


@contextlib.contextmanager
def serving(folder: Path, login: tuple[str, str] = ("", "")) -> Iterator[int]:
    """A server at a free port of loopback, which it yields; `login` is the user and password it expects."""
    import chdb

    connection, lock = chdb.connect(str(folder)), threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            asked = parse_qs(urlsplit(self.path).query)
            parameters = {name[6:]: values[0] for name, values in asked.items() if name.startswith("param_")}
            body = self.body()
            if login != ("", "") and login != self.login():
                self.answer(
                    403, b"Code: 516. DB::Exception: ann: Authentication failed. (AUTHENTICATION_FAILED)"
                )
                return
            try:
                with lock:
                    self.answer(200, _carried_out(connection, body, parameters))
            except RuntimeError as error:
                self.answer(500, str(error).encode())

        def login(self) -> tuple[str, str]:
            kind, _, told = self.headers.get("authorization", "").partition(" ")
            user, _, password = base64.b64decode(told).decode().partition(":")
            return (user, password) if kind == "Basic" else ("", "")

        def body(self) -> bytes:
            if "content-length" in self.headers:
                content = self.rfile.read(int(self.headers["content-length"]))
            else:
                content = b"".join(_chunks(self.rfile))
            return _decoded(content, self.headers.get("content-encoding"))

        def answer(self, status: int, content: bytes) -> None:
            self.send_response(status)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        connection.close()


def _chunks(file) -> Iterator[bytes]:
    while size := int(file.readline(), 16):
        yield file.read(size)
        file.readline()
    file.readline()


def _decoded(content: bytes, encoding: str | None) -> bytes:
    if encoding == "lz4":
        import lz4.frame

        return lz4.frame.decompress(content)
    assert encoding is None, encoding
    return content


def _carried_out(connection, body: bytes, parameters: dict[str, str]) -> bytes:
    if not body.startswith(b"INSERT"):
        return connection.query(body.decode(), "Native", params=parameters).bytes()
    statement, _, data = body.partition(_DATA)
    with tempfile.NamedTemporaryFile(suffix=".native") as file:
        file.write(data)
        file.flush()
        connection.query(f"{statement.decode()} FROM INFILE '{file.name}' FORMAT Native")
    return b""
