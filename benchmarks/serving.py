"""How many queries a server answers, and how fast, with batches and without, in one run.

Starts `serve` twice, with batches and with --batch=1, and has clients put one query after the other to each
of them in turn: texts of the collection, or its picture files. Clients and server share the machine's cores;
the clients write requests that were made before, and only look at the status of an answer and its length.
Latency is from the first byte of a request to the last of its answer. Every answer but 200 is an error, and
so is a connection that breaks. More clients than --queue of `serve` are sent away with 503, which is an error
too.

    python benchmarks/serving.py MODEL INDEX
    python benchmarks/serving.py --url http://127.0.0.1:8000 --clients 1,64
"""

import argparse
import asyncio
import contextlib
import dataclasses
import itertools
import json
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

ENTRY = Path(__file__).parents[1] / "main_itpair.py"
QUERIES = 200  # of a kind, asked in turn
WARM_SECONDS = 1.0


@dataclasses.dataclass
class Measured:
    """What came of one kind of query.

    Attributes:
      seconds: on the clock, summed over rounds.
      latencies: seconds of every answer.
      errors: number of requests by what became of them, where it was no answer.
      answered: number of queries that reached the model, as the server tells.
      batches: in how many batches.
    """

    seconds: float = 0.0
    latencies: list[float] = dataclasses.field(default_factory=list)
    errors: dict[str, int] = dataclasses.field(default_factory=dict)
    answered: int = 0
    batches: int = 0

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.latencies) / self.seconds


def get(address: str, path: str) -> bytes:
    """The answer to a GET."""
    with urllib.request.urlopen(address + path, timeout=30) as answer:
        return answer.read()


def requests_of(address: str, kind: str, count: int) -> list[bytes]:
    """Whole requests: texts that the collection holds, or picture files of it.

    Args:
      address: of a server.
      kind: 'text' or 'picture'.
      count: results that each asks for.
    """
    find, host = {"text": "texts", "picture": "images"}[kind], urlsplit(address).netloc
    sampled = json.loads(get(address, f"/api/sample?find={find}&count={QUERIES}"))["results"]
    if kind == "text":
        bodies = [json.dumps({"text": item["text"], "count": count}).encode() for item in sampled]
        path, media = "/api/search/text", "application/json"
    else:
        bodies = [get(address, item["picture"]) for item in sampled]
        path, media = f"/api/search/picture?count={count}", "application/octet-stream"
    return [
        f"POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: {media}\r\n"
        f"content-length: {len(body)}\r\n\r\n".encode()
        + body
        for body in bodies
    ]


async def load(
    address: str, requests: Sequence[bytes], clients: int, seconds: float, found: Measured
) -> None:
    """Puts queries for a time, and notes what becomes of them."""
    host, port = urlsplit(address).hostname, urlsplit(address).port
    turn, end = itertools.cycle(requests), time.perf_counter() + seconds

    async def client() -> None:
        connection = None
        while (start := time.perf_counter()) < end:
            try:
                connection = connection or await asyncio.open_connection(host, port)
                connection[1].write(next(turn))
                await connection[1].drain()
                status = await read_answer(connection[0])
            except (OSError, asyncio.IncompleteReadError) as error:
                status, connection = type(error).__name__, None
            if status == "200":
                found.latencies.append(time.perf_counter() - start)
            else:
                found.errors[status] = found.errors.get(status, 0) + 1
        if connection:
            connection[1].close()

    begin = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(clients)))
    found.seconds += time.perf_counter() - begin


async def read_answer(reader: asyncio.StreamReader) -> str:
    """Reads an answer; its status."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    await reader.readexactly(int(head.split("content-length:", 1)[1].split("\r\n", 1)[0]))
    return head.split(" ", 2)[1]


def measure(
    servers: dict[str, str], kinds: Sequence[str], clients: int, given: argparse.Namespace
) -> Iterator[tuple[str, str, Measured]]:
    """Kind, server and what was measured; servers take turns in every round."""
    for kind in kinds:
        requests = requests_of(next(iter(servers.values())), kind, given.count)
        found = {name: Measured() for name in servers}
        for address in servers.values():
            asyncio.run(load(address, requests, clients, WARM_SECONDS, Measured()))
        for _, (name, address) in itertools.product(range(given.rounds), servers.items()):
            before = json.loads(get(address, "/api/info"))["work"]
            asyncio.run(load(address, requests, clients, given.seconds, found[name]))
            after = json.loads(get(address, "/api/info"))["work"]
            found[name].answered += after["answered"] - before["answered"]
            found[name].batches += after["batches"] - before["batches"]
        yield from ((kind, name, one) for name, one in found.items())


def command(*words: object) -> list[str]:
    """A command of the project."""
    return [sys.executable, str(ENTRY), *map(str, words)]


@contextlib.contextmanager
def started(*words: object) -> Iterator[tuple[str, int]]:
    """A server as a process of its own, of a model, an index and flags; its address and number."""
    process = subprocess.Popen(command("serve", *words, "--port=0"), stdout=subprocess.PIPE, text=True)
    try:
        for line in process.stdout:
            if line.startswith("http://"):
                yield line.split()[0], process.pid
                break
        else:
            raise SystemExit(f"serve ended with {process.wait()}")
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()


def report(clients: Sequence[int], servers: dict[str, str], given: argparse.Namespace) -> None:
    """Measures and prints a Markdown table, and what batches are worth."""
    info = json.loads(get(next(iter(servers.values())), "/api/info"))
    kinds = [kind for kind, needs in (("text", "texts"), ("picture", "images")) if needs in info]
    items = " and ".join(f"{info[part]['items']:,} {part}" for part in ("images", "texts") if part in info)
    print(
        f"{items}, {info['bits']} bits; {given.rounds} rounds of {given.seconds:g} s, {given.count} results\n"
    )
    header = (
        "query",
        "server",
        "clients",
        "queries/s",
        "median ms",
        "95 % ms",
        "99 % ms",
        "a batch",
        "errors",
    )
    print(f"| {' | '.join(header)} |\n|---|---|{'--:|' * (len(header) - 2)}", flush=True)
    ratios = []
    for number in clients:
        rates = {}
        for kind, name, one in measure(servers, kinds, number, given):
            spread = [
                f"{1000 * value:.1f}" for value in np.percentile(one.latencies or [np.nan], [50, 95, 99])
            ]
            company = f"{one.answered / max(1, one.batches):.1f}"
            errors = ", ".join(f"{count} x {status}" for status, count in one.errors.items()) or "0"
            row = (kind, name, str(number), f"{one.rate:.0f}", *spread, company, errors)
            print(f"| {' | '.join(row)} |", flush=True)
            rates.setdefault(kind, []).append(one.rate)
        ratios += [
            f"{kind}, {number} clients: {a / b:.2f}" for kind, (a, *others) in rates.items() for b in others
        ]
    if ratios:
        first, *others = servers
        print(f"\nqueries/s of {first} / {' and '.join(others)}: {'; '.join(ratios)}")


def main() -> None:
    """Measures servers of a model and an index, or those that are named."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", nargs="?", help="folder that export wrote")
    parser.add_argument("index", nargs="?", help="folder that index wrote")
    parser.add_argument("--url", action="append", default=[], help="a server that runs; may be given again")
    parser.add_argument("--batch", type=int, default=32, help="queries in a batch, against 1")
    parser.add_argument("--clients", default="1,64", help="numbers of clients at once")
    parser.add_argument("--seconds", type=float, default=5.0, help="of a round")
    parser.add_argument("--rounds", type=int, default=3, help="of each server, in turns")
    parser.add_argument("--count", type=int, default=24, help="results of a query")
    given = parser.parse_args()
    clients = [int(number) for number in given.clients.split(",")]
    if given.url:
        report(clients, {url: url.rstrip("/") for url in given.url}, given)
        return
    if not given.index:
        parser.error("expected MODEL and INDEX, or --url")
    with contextlib.ExitStack() as stack:
        servers = {
            f"batch {batch}": stack.enter_context(started(given.model, given.index, f"--batch={batch}"))[0]
            for batch in (given.batch, 1)
        }
        report(clients, servers, given)


if __name__ == "__main__":
    main()
