"""Valid and invalid requests, at random, to a server of the campaign's model and index."""

import collections
import http.client
import json
import random
import signal
import subprocess
import sys
import threading
import time
import urllib.parse
from pathlib import Path
from typing import Any

from campaign_base import damaged


def memory(pid: int) -> int:
    """Resident bytes of a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))


def a_request(draw: random.Random, pictures: list[bytes]) -> tuple[str, str, bytes | None, dict[str, str]]:
    """Method, path, body and headers: valid in about half the cases."""
    values: list[Any] = [1, 5, 24, 100, 0, -1, 10**6, 1e300, "x", None, [], True, "²", "9" * 400, "\0", "%00"]
    find, count = (
        draw.choice(("images", "texts", "texts", "texts", "x", "")),
        draw.choice(values[:4] * 4 + values),
    )
    kind = draw.choice(("text", "text", "row", "row", "picture", "sample", "info", "page", "odd"))
    query = urllib.parse.urlencode(
        {
            "find": find,
            "count": count,
            "modality": draw.choice(("text", "text", "image", "")),
            "row": draw.choice([0, 7, 4999, 5000, *values]),
        }
    )
    if kind == "text":
        body: dict[str, Any] = {
            draw.choice(("text", "text", "tags", "txt")): draw.choice(
                ["red", "a blue square", "nothing known", ["red", "blue"], *values]
            )
        }
        body |= {"count": count} if draw.random() < 0.5 else {}
        body |= {"find": find} if draw.random() < 0.5 else {}
        data = json.dumps(body).encode()
        data = damaged(data, draw) if draw.random() < 0.2 else data
        return (
            "POST",
            "/api/search/text",
            data,
            {"content-type": draw.choice(("application/json",) * 8 + ("text/plain", ""))},
        )
    if kind == "picture":
        data = draw.choice(pictures)
        return (
            "POST",
            f"/api/search/picture?{query}",
            damaged(data, draw) if draw.random() < 0.5 else data,
            {},
        )
    if kind == "odd":
        path = draw.choice(
            (
                "/api/nothing",
                "/../../etc/passwd",
                "/api/search/text",
                f"/{'x' * 3000}",
                "/images/0",
                "/thumbnails/0",
                "//",
                "/%00",
                "/docs",
            )
        )
        return draw.choice(("GET", "HEAD", "PUT", "DELETE", "OPTIONS")), path, None, {}
    return (
        "GET",
        {
            "row": f"/api/search/row?{query}",
            "sample": f"/api/sample?{query}",
            "info": "/api/info",
            "page": "/",
        }[kind],
        None,
        {},
    )


def requests(base: Path, out: Path, count: int, draw: random.Random, clients: int = 8) -> dict[str, Any]:
    """Sends requests to a server; how they were answered, and how far its memory grew."""
    with open(out / "serve.txt", "wb") as said:
        server = subprocess.Popen(
            [sys.executable, "-u", "-m", "gch", "serve", "model", "index", "--port=0"],
            cwd=base,
            stdout=subprocess.PIPE,
            stderr=said,
        )
    assert server.stdout is not None
    port = next(
        int(line.rpartition(b":")[2].split(b"/")[0].split()[0])
        for line in server.stdout
        if b"http://127.0.0.1:" in line
    )
    threading.Thread(target=server.stdout.read, daemon=True).start()
    statuses: collections.Counter[str] = collections.Counter()
    pictures = [(base / "data" / name).read_bytes() for name in ("0.png", "1.jpg", "2.gif", "3.bmp")]
    todo = collections.deque(a_request(draw, pictures) for _ in range(count))
    warmed: list[int] = []

    def client() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        while todo:
            method, path, body, headers = todo.popleft()
            try:
                connection.request(method, path, body, headers)
                answer = connection.getresponse()
                answer.read()
                statuses[str(answer.status)] += 1
                if answer.status >= 500:
                    with open(out / "failed.txt", "a") as file:
                        file.write(
                            f"{answer.status} {method} {path[:300]} {body and body[:300]!r} {headers}\n"
                        )
            except (OSError, http.client.HTTPException) as error:
                statuses["lost"] += 1
                connection.close()
                with open(out / "failed.txt", "a") as file:
                    file.write(f"{error!r} {method} {path[:300]} {body and body[:300]!r} {headers}\n")
            if len(todo) == count * 3 // 4:
                warmed.append(memory(server.pid))

    threads = [threading.Thread(target=client) for _ in range(clients)]
    started = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    grown = memory(server.pid) - (warmed[0] if warmed else 0)
    server.send_signal(signal.SIGINT)
    status = server.wait(30)
    text = (out / "serve.txt").read_text(errors="replace")
    return {
        "requests": count,
        "seconds": round(time.monotonic() - started),
        "statuses": dict(sorted(statuses.items())),
        "lost": statuses["lost"],
        "tracebacks": text.count("Traceback"),
        "grown_mib_after_the_first_quarter": round(grown / 2**20, 1),
        "exit_status": status,
    }
