"""Restate, one node: durable steps a second at several numbers of invocations at once.

    python benchmarks/peers_restate.py run --workflows 300

Run by `durable.py` under the Python that has restate-sdk and hypercorn; RESTATE_SERVER names the server's
binary, which comes with npm's @restatedev/restate-server. The load comes over kept-alive HTTP connections.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from peers_common import START_SECONDS_MAX, closed_loop, emit_rates, free_port, options, server

AT_ONCE = (32, 100, 256)


class Connection:
    """A kept-alive HTTP/1.1 connection to the ingress; as thin as can be, to leave the cores to the peer."""

    async def open(self, port: int) -> None:
        """Connect."""
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", port)

    async def post(self, path: str, value: int) -> object:
        """Invoke and wait for the result."""
        body = json.dumps(value).encode()
        self.writer.write(
            f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        lines = (await self.reader.readuntil(b"\r\n\r\n")).lower().split(b"\r\n")
        lengths = [line.split(b":")[1] for line in lines if line.startswith(b"content-length:")]
        answer = await self.reader.readexactly(int(lengths[0]))
        assert b" 200 " in lines[0] + b" ", (lines, answer)
        return json.loads(answer)


async def register(admin: int, service: int) -> None:
    """Tell the server where the service is, once both are up."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{admin}/deployments",
        data=json.dumps({"uri": f"http://127.0.0.1:{service}", "force": True}).encode(),
        headers={"content-type": "application/json"},
    )
    end = time.monotonic() + START_SECONDS_MAX
    while True:
        try:
            await asyncio.to_thread(lambda: urllib.request.urlopen(request, timeout=5).read())  # noqa: S310
        except (urllib.error.URLError, OSError):
            if time.monotonic() > end:
                raise
            await asyncio.sleep(0.3)
        else:
            await asyncio.sleep(2)  # the new deployment spreads through the node
            return


async def load(ingress: int, workflows: int, at_once: int, steps: int) -> float:
    """Steps a second at one number of invocations at once."""
    idle = [Connection() for _ in range(at_once)]
    for connection in idle:
        await connection.open(ingress)

    async def one(_: int) -> None:
        connection = idle.pop()
        assert await connection.post("/steps/one_by_one", steps) == steps
        idle.append(connection)

    seconds = await closed_loop(one, workflows, at_once)
    for connection in idle:
        connection.writer.close()
    return workflows * steps / seconds


async def measure(ports: dict[str, int], told) -> dict[str, list[float]]:
    """Steps a second by the number of invocations at once."""
    await register(ports["admin"], ports["service"])
    await load(ports["ingress"], 64, 32, 3)
    rates: dict[str, list[float]] = {str(at_once): [] for at_once in AT_ONCE}
    for _ in range(told.rounds):
        for at_once in AT_ONCE:
            rates[str(at_once)].append(await load(ports["ingress"], told.workflows, at_once, told.steps))
    return rates


def main() -> None:
    """Measure and print."""
    told = options(__doc__, workflows=300, modes=("run",))
    ports = {name: free_port() for name in ("ingress", "admin", "node", "service")}
    address = "127.0.0.1:{}".format
    environment = {
        **os.environ,
        "RESTATE_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "1",
        "RESTATE_LISTEN_MODE": "tcp",
        "RESTATE_BIND_IP": "127.0.0.1",
        "RESTATE_BIND_ADDRESS": address(ports["node"]),
        "RESTATE_ADVERTISED_ADDRESS": f"http://{address(ports['node'])}",
        "RESTATE_INGRESS__BIND_ADDRESS": address(ports["ingress"]),
        "RESTATE_ADMIN__BIND_ADDRESS": address(ports["admin"]),
        "RESTATE_ADMIN__DISABLE_WEB_UI": "true",
        "RESTATE_LOG_FILTER": "error",
    }
    data = Path(told.folder).resolve() / f"restate-{ports['node']}"
    node = [os.environ["RESTATE_SERVER"], "--base-dir", str(data), "--node-name", "one"]
    service = [
        str(Path(sys.executable).parent / "hypercorn"),
        *("--bind", address(ports["service"]), "--workers", "1", "--log-level", "ERROR"),
        "peers_restate_service:app",
    ]
    with server(node, env=environment), server(service, cwd=Path(__file__).parent):
        rates = asyncio.run(measure(ports, told))
    emit_rates(rates, ("restate-sdk", "hypercorn"))


if __name__ == "__main__":
    main()
