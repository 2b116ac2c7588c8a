"""Do the tasks add up? Reads the provider's memory, the clients' and the database; nothing of ours.

A marker is a prompt that one client sent once. The provider counts how often it began the work of
each; the clients know which task each became, as far as they were told.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def check(
    folder: Path,
    begun: Mapping[str, int],
    told: Mapping[str, str],
    fails: frozenset[str],
    prices: Mapping[str, int],
) -> tuple[list[str], Counter[str]]:
    """What is wrong, and how much of everything there was."""
    connection = sqlite3.connect(folder / "gateway.sqlite")
    connection.row_factory = sqlite3.Row
    tasks = [dict(row) for row in connection.execute("SELECT * FROM tasks")]
    entries = [dict(row) for row in connection.execute("SELECT * FROM entries ORDER BY seq")]
    connection.close()
    wrong: list[str] = []
    counts: Counter[str] = Counter()
    wrong += [f"{marker} was begun {times} times" for marker, times in begun.items() if times > 1]
    by_marker: dict[str, dict[str, Any]] = {}
    for task in tasks:
        marker = json.loads(task["body"])["prompt"]
        if marker in by_marker:
            wrong.append(f"{marker} became two tasks")
        by_marker[marker] = task
        counts[f"{task['operation']} {task['error_code'] or task['state']}"] += 1
        wrong += _task(task, marker, begun, fails, prices)
    for marker, name in told.items():
        task = by_marker.get(marker, {})
        if task.get("id") != name:
            wrong.append(f"{marker} was told of {name}, there is {task.get('id')}")
    counts["told"], counts["begun"] = len(told), len(begun)
    counts["begun, and nobody knows"] = len(begun.keys() - by_marker.keys())
    wrong += _ledger(entries, {task["call"]: task for task in tasks}, counts)
    kept = {task["media"] for task in tasks if task["media"]}
    there = {path.name for path in (folder / "gateway.sqlite.media").iterdir()}
    if there != kept:
        wrong.append(f"files {sorted(there - kept)} are nobody's, {sorted(kept - there)} are gone")
    return wrong, counts


def _task(
    task: dict[str, Any],
    marker: str,
    begun: Mapping[str, int],
    fails: frozenset[str],
    prices: Mapping[str, int],
) -> list[str]:
    """One that is over, as its provider ended it; charged its price if it has succeeded."""
    wrong = []
    if task["finished"] is None:
        wrong.append(f"{marker} never ended")
    if task["state"] == "succeeded":
        if marker in fails or begun.get(marker) != 1 or not task["media"]:
            wrong.append(f"{marker} cannot have succeeded")
        if task["charged"] != prices[task["operation"]]:
            wrong.append(f"{marker} was charged {task['charged']}")
    else:
        waited = task["operation"] == "music" and task["error_code"] == "interrupted"
        if task["charged"] or not (marker in fails or waited):
            wrong.append(f"{marker} failed: {task['error_code']}, charged {task['charged']}")
    return wrong


def _ledger(
    entries: list[dict[str, Any]], tasks: dict[int, dict[str, Any]], counts: Counter[str]
) -> list[str]:
    """One hold and one settlement for each call; nothing charged but for tasks that succeeded."""
    wrong = []
    calls: dict[int, list[dict[str, Any]]] = {}
    for row in entries:
        if row["wallet"] + row["held"] + row["revenue"] + row["source"]:
            wrong.append(f"entry {row['seq']} makes or loses money")
        calls.setdefault(row["call"], []).append(row)
    for call, rows in calls.items():
        kinds = sorted(row["kind"] for row in rows)
        if kinds != [1, 3] or sum(row["held"] for row in rows):
            wrong.append(f"call {call} has entries of kinds {kinds}")
        revenue, task = sum(row["revenue"] for row in rows), tasks.get(call)
        if revenue != (task["charged"] if task else 0):
            wrong.append(f"call {call} was charged {revenue}")
        counts["calls without a task"] += task is None
    for call, task in tasks.items():
        if call not in calls:
            wrong.append(f"{task['id']} has no money")
    return wrong
