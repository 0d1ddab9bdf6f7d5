"""A process that runs workflows for others until it is told a line; for the tests of two processes."""
# ruff: noqa: T201

from __future__ import annotations

import sys
from typing import Any

import trio

from treadle import activity, open_runtime, workflow


@activity.define
async def echo(word: str) -> str:
    return word


@workflow.define
async def account(balance: int) -> int:
    @workflow.query("balance")
    def tell() -> int:
        return balance

    def check(cents: int) -> None:
        if cents <= 0:
            raise ValueError("a deposit is positive")

    @workflow.update("deposit", validator=check)
    async def deposit(cents: int) -> int:
        nonlocal balance
        balance += int(await workflow.activity(echo, str(cents)))
        return balance

    @workflow.update("fail")
    async def fail() -> None:
        raise KeyError("no such account")

    await workflow.signals("close").receive()
    return balance


@workflow.define
async def listen(count: int) -> list[Any]:
    return [await workflow.signals("word").receive() for _ in range(count)]


FLOWS = [account, listen]


async def main(path: str) -> None:
    async with open_runtime(path, workflows=FLOWS, activities=[echo]) as runtime:
        print(runtime.statistics().runner.state, flush=True)
        await runtime.wait_running()
        print("running", flush=True)
        await trio.to_thread.run_sync(sys.stdin.readline, abandon_on_cancel=True)


if __name__ == "__main__":
    trio.run(main, sys.argv[1])
