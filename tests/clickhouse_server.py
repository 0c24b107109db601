"""ClickHouse's HTTP interface over chDB in this process: what the client sends to a server is carried out."""

import base64
import contextlib
import tempfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit


@contextlib.contextmanager
def serving(folder: Path, user: str, password: str) -> Iterator[int]:
    """A server at a free port of loopback, which it yields."""
    import chdb

    connection, lock = chdb.connect(str(folder)), threading.Lock()
    login = b"Basic " + base64.b64encode(f"{user}:{password}".encode())

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            given = parse_qs(urlsplit(self.path).query)
            parameters = {name[6:]: values[0] for name, values in given.items() if name.startswith("param_")}
            status, content = 200, b""
            body = _body(self.rfile, self.headers)
            if self.headers.get("authorization", "").encode() != login:
                status, content = 403, b"Code: 516. DB::Exception: wrong. (AUTHENTICATION_FAILED)"
            else:
                try:
                    with lock:
                        content = _carried_out(connection, body, parameters)
                except RuntimeError as error:
                    status, content = 500, str(error).encode()
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


def _body(file, headers) -> bytes:
    if "content-length" in headers:
        return file.read(int(headers["content-length"]))
    content = b""
    while size := int(file.readline(), 16):
        content += file.read(size)
        file.readline()
    file.readline()
    if headers.get("content-encoding") == "lz4":
        import lz4.frame

        return lz4.frame.decompress(content)
    return content


def _carried_out(connection, body: bytes, parameters: dict[str, str]) -> bytes:
    if not body.startswith(b"INSERT"):
        return connection.query(body.decode(), "Native", params=parameters).bytes()
    statement, _, data = body.partition(b"FORMAT Native\n")
    with tempfile.NamedTemporaryFile(suffix=".native") as file:
        file.write(data)
        file.flush()
        connection.query(f"{statement.decode()} FROM INFILE '{file.name}' FORMAT Native")
    return b""
