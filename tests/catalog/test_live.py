"""A reload swaps whole or not at all, and an editor's every way of saving is noticed."""

import asyncio
import threading

import pytest

from gateway.catalog import live
from gateway.catalog.load import CatalogError, load

OTHER = ("name: Big", "name: Bigger")


@pytest.fixture
def path(tmp_path, good):
    path = tmp_path / "catalog.yaml"
    path.write_text(good)
    return path


@pytest.fixture
def served(path):
    return live.LiveCatalog(path, {})


def replace(path, text):
    """Save as careful editors and configuration managers do: a new file, renamed over the old."""
    new = path.with_name("new")
    new.write_text(text)
    new.replace(path)


def test_a_bad_file_at_the_start_is_an_error(path):
    """There is no old catalog to keep."""
    path.write_text("version: 1")
    with pytest.raises(CatalogError):
        live.LiveCatalog(path, {})


async def test_nothing_changed_nothing_happens(served):
    """The same catalog object stays."""
    before = served.current
    assert not await served.poll_once()
    assert served.current is before


async def test_a_changed_file_is_swapped_in(served, path, good):
    """A call that has the old catalog keeps it."""
    before, since = served.current, served.loaded_at
    path.write_text(good.replace(*OTHER))
    assert await served.poll_once()
    assert (before.models["big"].name, served.current.models["big"].name) == ("Big", "Bigger")
    assert served.revision == served.current.revision != before.revision
    assert served.loaded_at >= since
    assert served.last_error is None
    assert not await served.poll_once()


async def test_an_atomic_replacement_is_noticed(served, path, good):
    """Even with the same size and time, the inode tells."""
    import os

    stat = path.stat()
    replace(path, good.replace("name: Big", "name: Bug"))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert await served.poll_once()
    assert served.current.models["big"].name == "Bug"


async def test_a_swapped_link_is_noticed(tmp_path, good):
    """As mounted configuration maps do it."""
    (tmp_path / "one").write_text(good)
    (tmp_path / "two").write_text(good.replace(*OTHER))
    link = tmp_path / "catalog.yaml"
    link.symlink_to("one")
    served = live.LiveCatalog(link, {})
    (tmp_path / "link").symlink_to("two")
    (tmp_path / "link").replace(link)
    assert await served.poll_once()
    assert served.current.models["big"].name == "Bigger"


async def test_a_half_written_file_leaves_the_old_one_serving(served, path, good):
    """It is tried again when it changes again, not before."""
    before = served.current
    path.write_text(good[: len(good) // 2])
    assert not await served.poll_once()
    assert served.current is before
    assert served.last_error is not None
    assert served.last_error.startswith("catalog.yaml:")
    error = served.last_error
    served.last_error = "untouched"
    assert not await served.poll_once()
    assert served.last_error == "untouched" != error
    path.write_text(good.replace(*OTHER))
    assert await served.poll_once()
    assert (served.last_error, served.current.models["big"].name) == (None, "Bigger")


async def test_every_prefix_of_the_file_is_refused_or_whole(served, path, good):
    """However a write is cut, nothing half is ever served."""
    for cut in range(0, len(good), 97):
        path.write_text(good[:cut])
        swapped = await served.reload()
        assert swapped == (served.last_error is None)
        assert "big" in served.current.models


async def test_a_deleted_file_leaves_the_old_one_serving(served, path, good):
    """And its return is noticed."""
    before = served.current
    path.unlink()
    assert not await served.poll_once()
    assert served.current is before
    assert "can't be read" in (served.last_error or "")
    assert not await served.poll_once()
    path.write_text(good)
    assert await served.poll_once()
    assert served.last_error is None


async def test_a_directory_in_its_place_is_reported(served, path):
    """Not a crash."""
    path.unlink()
    path.mkdir()
    assert not await served.reload()
    assert "can't be read" in (served.last_error or "")


async def test_callbacks_see_the_new_one_before_it_serves_and_may_refuse(served, path, good):
    """In order; the first that raises ends it."""
    before, seen = served.current, []
    served.on_swap.append(lambda new: seen.append((new.revision, served.current is before)))
    path.write_text(good.replace(*OTHER))
    assert await served.reload()
    assert seen == [(served.current.revision, True)]

    def veto(new):
        raise LookupError("there is no adapter acme")

    served.on_swap.insert(0, veto)
    kept = served.current
    path.write_text(good)
    assert not await served.reload()
    assert (served.current, len(seen)) == (kept, 1)
    assert served.last_error == "catalog.yaml: refused: there is no adapter acme"


async def test_reloads_at_once_share_one_reading(served, path, good, monkeypatch):
    """A hundred callers during one reading cost one more, which begins after it.

    The first reads twice: the file changes under it.
    """
    begun, go, count = asyncio.Event(), threading.Event(), 0
    loop = asyncio.get_running_loop()

    def slow(*args):
        nonlocal count
        count += 1
        result = load(*args)
        loop.call_soon_threadsafe(begun.set)
        go.wait(10)
        return result

    monkeypatch.setattr(live, "load", slow)
    first = asyncio.create_task(served.reload())
    await begun.wait()
    path.write_text(good.replace(*OTHER))  # after the first has read
    others = [asyncio.create_task(served.reload()) for _ in range(100)]
    await asyncio.sleep(0)
    go.set()
    assert await first
    assert all(await asyncio.gather(*others))
    assert count == 3
    assert served.current.models["big"].name == "Bigger"
    assert await served.reload()
    assert count == 4


async def test_a_caller_that_gives_up_does_not_stop_the_reload(served, path, good, monkeypatch):
    """The others still get their answer."""
    begun, go = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def slow(*args):
        loop.call_soon_threadsafe(begun.set)
        go.wait(10)
        return load(*args)

    monkeypatch.setattr(live, "load", slow)
    path.write_text(good.replace(*OTHER))
    first = asyncio.create_task(served.reload())
    await begun.wait()
    second = asyncio.create_task(served.reload())
    await asyncio.sleep(0)
    first.cancel()
    go.set()
    assert await second
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_a_file_that_changes_while_it_is_read_is_read_again(served, path, good, monkeypatch):
    """A torn reading could look whole; one that never comes to rest is refused."""
    texts = iter([good.replace(*OTHER), good.replace("name: Big", "name: Biggest")])

    def meanwhile(*args):
        result = load(*args)
        if (text := next(texts, None)) is not None:
            replace(path, text)
        return result

    monkeypatch.setattr(live, "load", meanwhile)
    assert await served.reload()
    assert served.current.models["big"].name == "Biggest"
    assert not await served.poll_once()
    kept = served.current
    texts = iter([f"{good}# {n}\n" for n in range(99)])
    assert not await served.reload()
    assert (served.current, "written to" in (served.last_error or "")) == (kept, True)
    texts = iter([])
    assert await served.poll_once()


async def test_watch_polls_until_cancelled(served, path, good):
    """The task the server runs; the swap callback is the signal, not a sleep."""
    swapped = asyncio.Event()
    served.on_swap.append(lambda _new: swapped.set())
    task = asyncio.create_task(served.watch(interval=0.001))
    path.write_text(good.replace(*OTHER))
    await asyncio.wait_for(swapped.wait(), 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_watch_waits_until_a_growing_file_rests(served, path, good, monkeypatch):
    """A slow copy is a good, smaller catalog for a while: it is never served."""
    cut = good.index("auto:\n")
    texts = iter([good[:cut], good[: cut + len("auto:\n")], good.replace(*OTHER)])
    seen, swapped = [], asyncio.Event()
    served.on_swap.append(lambda new: (seen.append(new), swapped.set()))
    sleep = asyncio.sleep

    async def tick(_seconds):
        if (text := next(texts, None)) is not None:
            path.write_text(text)
        await sleep(0)

    monkeypatch.setattr(live.asyncio, "sleep", tick)
    task = asyncio.create_task(served.watch())
    await asyncio.wait_for(swapped.wait(), 5)
    task.cancel()
    assert [new.models["big"].name for new in seen] == ["Bigger"]
    assert served.last_error is None
