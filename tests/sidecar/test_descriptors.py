"""File descriptors when they are short: what is for clients, for providers, for the journal."""

import asyncio
import errno
import os
import resource
from pathlib import Path
from typing import Any

import pytest

from spendguard_daemon import system
from spendguard_daemon.gateway import descriptors
from spendguard_daemon.gateway.descriptors import JOURNALS_RESERVE, NONE_LEFT, RESERVE, first_but
from spendguard_daemon.gateway.upstream import HttpUpstream
from spendguard_daemon.ports import NotSentError, UpstreamRequest
from spendguard_daemon.system import SystemDisk


@pytest.mark.parametrize(
    ("soft", "clients", "providers"),
    [
        (10_240, 10_176, 10_224),
        (256, 192, 240),
        (128, 96, 120),
        (resource.RLIM_INFINITY, NONE_LEFT, NONE_LEFT),
    ],
)
def test_the_reserves(monkeypatch: pytest.MonkeyPatch, soft: int, clients: int, providers: int) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, soft))
    assert (first_but(RESERVE), first_but(JOURNALS_RESERVE)) == (clients, providers)


def test_the_next_number_is_the_lowest_that_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = descriptors.next_free()
    taken = os.open(os.devnull, os.O_RDONLY)
    assert taken == expected
    assert descriptors.next_free() > taken
    os.close(taken)
    assert descriptors.next_free() == expected

    def none_left(*_: object) -> int:
        raise OSError(errno.EMFILE, "too many open files")

    monkeypatch.setattr(os, "open", none_left)
    assert descriptors.next_free() == NONE_LEFT


async def test_a_call_for_which_none_is_left_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """So it costs nothing."""
    upstream = HttpUpstream({"openai": "http://127.0.0.1:1"})
    monkeypatch.setattr(descriptors, "next_free", lambda: NONE_LEFT)
    monkeypatch.setattr(upstream, "_descriptors_max", 100)
    with pytest.raises(NotSentError, match="no file descriptor"):
        await upstream.send(UpstreamRequest("openai", "POST", "/x", (), b"{}"))
    await upstream.close()


def test_the_journal_waits_for_one_to_come_free(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A daemon that stopped for that would be stopped by anybody who opens connections."""
    really, fails = os.open, [errno.EMFILE, errno.ENFILE, errno.EMFILE]

    def short(path: Path, flags: int, mode: int = 0o777) -> int:
        if fails:
            raise OSError(fails.pop(), "too many open files")
        return really(path, flags, mode)

    monkeypatch.setattr(system, "DESCRIPTOR_WAIT_SECONDS", 0)
    monkeypatch.setattr(os, "open", short)
    file = SystemDisk().open_append(tmp_path / "segment")
    assert file.write(b"x") == 1
    file.close()
    fails.extend([errno.EMFILE] * system.DESCRIPTOR_TRIES)
    with pytest.raises(OSError, match="too many"):
        SystemDisk().sync_folder(tmp_path)
    assert fails == []
    fails.append(errno.EACCES)
    with pytest.raises(PermissionError):
        SystemDisk().open_update(tmp_path / "other")


def test_asyncios_own_loop_does_not_log_each_connection_that_it_cannot_take() -> None:
    heard: list[dict[str, Any]] = []
    loop = asyncio.new_event_loop()
    loop.default_exception_handler = heard.append  # type: ignore[method-assign]
    descriptors.hear_no_accept_twice(loop)
    loop.call_exception_handler({"message": "socket.accept() out of system resource"})
    loop.call_exception_handler({"message": "something else"})
    loop.close()
    assert [context["message"] for context in heard] == ["something else"]
