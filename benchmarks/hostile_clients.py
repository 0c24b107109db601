"""How long an ordinary client of `serve` waits beside hostile ones, and the server's peak memory.

Starts `serve` with a small model of random weights and an index of 2,000 texts and 200 pictures. For each
kind of hostile client, a process of its own plays it for some seconds, while an ordinary client sends a text
or a picture of 64 x 64 pixels every 50 ms, each over a new connection. Latency is from the time at which a
query was due to the last byte of its answer; whatever is not answered 200 within 30 s has failed. Clients
and server share the machine's cores. Peak memory is known on Linux only.

    python benchmarks/hostile_clients.py
    python benchmarks/hostile_clients.py --seconds 30 --only chunks,pipelined_samples
    python benchmarks/hostile_clients.py --url http://127.0.0.1:8000
"""

import argparse
import asyncio
import collections
import contextlib
import functools
import io
import itertools
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
from PIL import Image
from serving import command, read_answer, started

ROOT = Path(__file__).parents[1]
WORDS = ("cat", "cat face", "ice-cream", "red", "sea")  # which the small model knows
TEXTS, PICTURES = 2000, 200
EVERY, PATIENCE = 0.05, 30.0  # seconds
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Connect = Callable[[], contextlib.AbstractAsyncContextManager[Connection]]
Act = Callable[[Connect], Awaitable[None]]


def request(path: str, body: bytes | None = None, kind: str = "application/json") -> bytes:
    """A whole request, POST if it has a body."""
    if body is None:
        return f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n".encode()
    return post(path, kind, f"content-length: {len(body)}") + body


def post(path: str, kind: str, length: str) -> bytes:
    """The head of a POST."""
    return f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: {kind}\r\n{length}\r\n\r\n".encode()


def text(count: int = 24) -> bytes:
    """A query by text."""
    return request("/api/search/text", json.dumps({"text": "red cat", "count": count}).encode())


def picture(side: int, kind: str = "PNG", **options: object) -> bytes:
    """A query by a square picture."""
    file = io.BytesIO()
    Image.new("RGB", (side, side), (255, 0, 0)).save(file, kind, **options)
    return request("/api/search/picture", file.getvalue(), "image/png")


async def pipeline(connect: Connect, requests: Sequence[bytes]) -> None:
    """Sends requests without waiting for answers, and reads the answers as they come."""
    async with connect() as (reader, writer):

        async def send() -> None:
            while True:
                writer.write(b"".join(requests) * 20)
                await writer.drain()

        async def read() -> None:
            while await reader.read(2**16):
                pass

        await asyncio.gather(send(), read())


async def chunks(connect: Connect) -> None:
    """Sends a body in chunks of one byte, as fast as the server takes them."""
    async with connect() as (_, writer):
        writer.write(post("/api/search/picture", "image/png", "transfer-encoding: chunked"))
        while True:
            writer.write(b"1\r\nx\r\n" * 10_000)
            await writer.drain()


async def repeat(connect: Connect, content: bytes) -> None:
    """Sends a request after the other."""
    async with connect() as (reader, writer):
        while True:
            writer.write(content)
            await writer.drain()
            await read_answer(reader)


async def stall(connect: Connect, content: bytes) -> None:
    """Sends a part of a request, and then a byte a second."""
    async with connect() as (_, writer):
        writer.write(content)
        while True:
            await writer.drain()
            await asyncio.sleep(1)
            writer.write(b"x")


async def unread(connect: Connect) -> None:
    """Sends requests and reads no answer."""
    async with connect() as (_, writer):
        while True:
            writer.write(request("/api/sample?find=texts&count=1000") * 20)
            await writer.drain()


@functools.cache
def huge_picture(kind: str, side: int, **options: object) -> bytes:
    """A picture, made once."""
    return picture(side, kind, **options)


async def huge(connect: Connect, kind: str, side: int = 11_000, **options: object) -> None:
    """Sends pictures of 121 megapixels, or of another size."""
    await repeat(connect, huge_picture(kind, side, **options))


def few_bytes(path: str) -> Act:
    """Pipelines a request."""
    return partial(pipeline, requests=[request(path)])


COUNTS = itertools.cycle(range(900, 1001))
THUMBNAILS = [request(f"/pictures/{row}?size=960") for row in range(PICTURES)]
WRONG = request("/api/search/text", b'{"tags": [' + b"1," * 16_000 + b"1]}")
SLOW = post("/api/search/picture", "image/png", "content-length: 99999")
HALF = post("/api/search/picture", "image/png", f"content-length: {2**24}") + bytes(2**24 - 2**16)

# How many at once, and what each of them does until it is stopped or sent away, and then again.
HOSTILE: dict[str, tuple[int, Act]] = {
    "nobody": (0, unread),
    "chunks": (1, chunks),
    "many_chunks": (20, chunks),
    "pipelined_samples": (40, few_bytes("/api/sample?find=texts&count=1000")),
    "pipelined_infos": (40, few_bytes("/api/info")),
    "pipelined_rows": (40, few_bytes("/api/search/row?modality=image&row=0&count=1000")),
    "pipelined_queries": (40, lambda connect: pipeline(connect, [text(next(COUNTS))])),
    "pipelined_thumbnails": (40, partial(pipeline, requests=THUMBNAILS)),
    "wrong_tags": (40, partial(repeat, content=WRONG)),
    "large_png": (12, partial(huge, kind="PNG", side=8192, compress_level=1)),  # the largest that is decoded
    "huge_png": (12, partial(huge, kind="PNG", compress_level=1)),
    "huge_progressive_jpeg": (12, partial(huge, kind="JPEG", progressive=True)),
    "huge_webp": (12, partial(huge, kind="WEBP", lossless=True, method=0)),
    "slow_heads": (600, partial(stall, content=b"GET / HTTP/1.1\r\nx: ")),
    "slow_bodies": (600, partial(stall, content=SLOW)),
    "half_bodies": (40, partial(stall, content=HALF)),
    "unread": (40, unread),
}


def connector(address: str, opened: Callable[[], object] = lambda: None) -> Connect:
    """Opens connections to a server; calls `opened` after each."""

    @contextlib.asynccontextmanager
    async def connect() -> AsyncIterator[Connection]:
        reader, writer = await asyncio.open_connection(urlsplit(address).hostname, urlsplit(address).port)
        opened()
        try:
            yield reader, writer
        finally:
            writer.transport.abort()

    return connect


async def play(name: str, address: str) -> None:
    """Plays a kind of hostile client until the process ends."""
    number, act = HOSTILE[name]
    ready = functools.cache(lambda: print("ready", flush=True))
    connect = connector(address, ready)
    if not number:
        ready()

    async def client() -> None:
        while True:
            with contextlib.suppress(OSError, EOFError):
                await act(connect)
            await asyncio.sleep(0.01)

    await asyncio.gather(*(client() for _ in range(number)))


async def ordinary(address: str, seconds: float) -> tuple[list[float], collections.Counter]:
    """Sends a query every 50 ms; seconds of every answer, and the numbers of failures."""
    latencies, failures, connect = [], collections.Counter(), connector(address)
    queries = (text(), picture(64))

    async def query(number: int, due: float) -> None:
        await asyncio.sleep(due - time.perf_counter())
        try:
            async with asyncio.timeout(PATIENCE), connect() as (reader, writer):
                writer.write(queries[number % 2])
                status = await read_answer(reader)
        except (OSError, EOFError) as error:  # a TimeoutError is an OSError
            status = type(error).__name__
        if status == "200":
            latencies.append(time.perf_counter() - due)
        else:
            failures[status] += 1

    start = time.perf_counter()
    await asyncio.gather(*(query(number, start + EVERY * number) for number in range(int(seconds / EVERY))))
    return latencies, failures


def memory(process: int | None) -> float | None:
    """Peak resident memory in MB since the last call, on Linux."""
    status = Path(f"/proc/{process}/status")
    if process is None or not status.exists():
        return None
    peak = next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    with contextlib.suppress(OSError):
        Path(f"/proc/{process}/clear_refs").write_text("5")
    return peak * 1024 / 1e6


def measure(
    address: str, process: int | None, names: list[str], seconds: float
) -> Iterator[tuple[str, dict]]:
    """Each kind of hostile client and what the ordinary client saw of it."""
    asyncio.run(ordinary(address, 2.0))  # The first queries build graphs.
    for name in ("nobody", *names):
        memory(process)
        words = [sys.executable, __file__, "--play", name, "--url", address]
        hostile = subprocess.Popen(words, stdout=subprocess.PIPE)
        try:
            hostile.stdout.readline()
            time.sleep(1.0)
            latencies, failures = asyncio.run(ordinary(address, seconds))
        finally:
            hostile.kill()
            hostile.wait()
        middle, most = np.percentile(latencies or [np.nan], [50, 95])
        yield (
            name,
            {
                "clients": HOSTILE[name][0],
                "queries": len(latencies) + failures.total(),
                "failed": dict(failures),
                "median_ms": 1000 * float(middle),
                "p95_ms": 1000 * float(most),
                "max_ms": 1000 * max(latencies, default=float("nan")),
                "peak_MB": memory(process),
            },
        )


def prepare(folder: Path) -> None:
    """Exports a small model, and indexes texts and pictures."""
    sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
    from exporting import save_small_model

    save_small_model(folder / "model")
    (folder / "pictures").mkdir()
    random = np.random.default_rng(0)
    for number, colour in enumerate(random.integers(0, 256, (PICTURES, 3), np.uint8)):
        pixels = np.full((600, 800, 3), colour)
        Image.fromarray(pixels).save(folder / "pictures" / f"{number}.jpg")
    texts = (" ".join(random.choice(WORDS, 12)) for _ in range(TEXTS))
    (folder / "texts.txt").write_text("\n".join(texts))
    for words in (
        ("encode", folder / "model", f"--images={folder / 'pictures'}", f"--out={folder / 'images'}"),
        ("encode", folder / "model", f"--texts={folder / 'texts.txt'}", f"--out={folder / 'texts'}"),
        ("index", folder / "images", folder / "texts", f"--out={folder / 'index'}"),
    ):
        subprocess.run(command(*words), check=True, capture_output=True)


def run(seconds: float = 10.0, names: list[str] | None = None, report: Callable = lambda *_: None) -> dict:
    """What an ordinary client saw of each kind of hostile client, each for some seconds, by its name.

    `report` is called with each name and what was measured.
    """
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder))
        with started(Path(folder) / "model", Path(folder) / "index") as (address, process):
            for name, one in measure(address, process, names or list(HOSTILE)[1:], seconds):
                report(name, one)
                found[name] = one
    return found


def print_row(name: str, one: dict) -> None:
    """Prints a row of a Markdown table."""
    failed = ", ".join(f"{number} x {status}" for status, number in one["failed"].items()) or "0"
    peak = "" if one["peak_MB"] is None else f"{one['peak_MB']:.0f}"
    times = " | ".join(f"{one[field]:.0f}" for field in ("median_ms", "p95_ms", "max_ms"))
    label = name.replace("_", " ")
    print(f"| {label} | {one['clients']} | {one['queries']} | {failed} | {times} | {peak} |", flush=True)


def main() -> None:
    """Measures and prints a Markdown table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=10.0, help="of each kind of hostile client")
    parser.add_argument("--only", default="", help=f"some of {','.join(list(HOSTILE)[1:])}")
    parser.add_argument("--url", help="a server that runs already")
    parser.add_argument("--play", choices=HOSTILE, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.play:
        asyncio.run(play(given.play, given.url))
        return
    names = [name for name in given.only.split(",") if name] or list(HOSTILE)[1:]
    print("| hostile client | clients | queries | failed | median ms | 95 % ms | max ms | peak MB |")
    print(f"|---|{'--:|' * 7}", flush=True)
    if given.url:
        for name, one in measure(given.url, None, names, given.seconds):
            print_row(name, one)
    else:
        run(given.seconds, names, print_row)


if __name__ == "__main__":
    main()
