"""Does it add up? Reads the provider's log, the clients' logs and the database; nothing of ours.

What joins them. A client's call has a marker, which the provider sees in the body, and a length
that is unique within its round; the ledger's hold names the input's guessed tokens, which follow
from that length alone (a token for three bytes, and eight). A round is a row of `boots`, by the
token in every x-request-id. So each hold is one client's call, and each execution at the provider
is one hold, whether or not anybody ever got an answer. Where a client did get an answer, its
x-request-id names the ledger's call a second time, and both joins must agree.

What is provable: each execution has exactly one hold and one settlement; what a client saw to its
end costs what the provider reported; nothing is settled twice; balances are top-ups less charges,
and never below the floor at any row; a call that a kill cut off is flagged and charged its input.
What is not: whether a request that was written to a socket and never read by the provider (its
connection was reset first) cost the provider anything. Such a call may be charged its input as
`abandoned`; they are counted apart.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter, defaultdict
from fractions import Fraction
from pathlib import Path
from typing import Any

_HOLD, _EXTEND, _SETTLE, _TOP_UP, _ADJUST = 1, 2, 3, 4, 5
_RECOVERED, _OVER_HOLD, _ABANDONED, _CUT_OFF, _STOPPED = 1, 4, 5, 6, 7
_CALLS_PER_BOOT = 1 << 40


class _Call:
    """A call in the ledger."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.boot = number // _CALLS_PER_BOOT
        self.holds: list[dict[str, Any]] = []
        self.settled: list[dict[str, Any]] = []
        self.held = 0
        self.last_kind = 0

    @property
    def flag(self) -> int:
        return int(self.settled[0]["flag"])

    @property
    def charge(self) -> int:
        return int(self.settled[0]["revenue"])


class Checker:
    """One folder of evidence."""

    def __init__(self, folder: Path) -> None:
        self.problems: list[str] = []
        self.counts: Counter[str] = Counter()
        self._prices = {
            k: Fraction(v) for k, v in json.loads(_text(folder / "prices.json")).items()
        }
        self._clients = {fact["user"]: fact for fact in _lines(folder / "clients.jsonl")}
        self._provider: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for fact in _lines(folder / "upstream.jsonl"):
            self._provider[fact["user"]].append(fact)
        connection = sqlite3.connect(folder / "gateway.sqlite")
        connection.row_factory = sqlite3.Row
        self._ask = lambda sql: [dict(row) for row in connection.execute(sql)]
        rounds = {fact["token"]: fact["round"] for fact in _lines(folder / "starts.jsonl")}
        boots = self._ask("SELECT n, token FROM boots")
        self._round_of = {boot["n"]: rounds.get(boot["token"]) for boot in boots}
        self._boot_of = {boot["token"]: boot["n"] for boot in boots}
        self._last_boot = max(self._round_of)
        self._calls: dict[int, _Call] = {}
        self._call_of: dict[str, _Call] = {}

    def wrong(self, text: str) -> None:
        self.problems.append(text)

    def run(self) -> None:
        """All proofs."""
        (found,) = self._ask("PRAGMA integrity_check")
        if found["integrity_check"] != "ok":
            self.wrong(f"the file: {found['integrity_check']}")
        self._read_ledger()
        self._check_sums()
        self._join()
        for marker, facts in self._provider.items():
            self._check_executed(marker, facts)
        for fact in self._clients.values():
            self._check_seen(fact)
        for marker, call in self._call_of.items():
            self._check_charge(marker, call)

    def _read_ledger(self) -> None:
        wallets: Counter[int] = Counter()
        floors = {row["n"]: row["floor"] for row in self._ask("SELECT n, floor FROM accounts")}
        for row in self._ask("SELECT * FROM entries ORDER BY seq"):
            if row["wallet"] + row["held"] + row["revenue"] + row["source"] != 0:
                self.wrong(f"entry {row['seq']} makes or loses money")
            account = row["account"]
            wallets[account] += row["wallet"]
            floor = floors[account]
            if floor is not None and wallets[account] < floor:
                self.wrong(f"entry {row['seq']} takes account {account} below its floor")
            if row["kind"] <= _SETTLE:
                self._read_entry(row)
        for call in self._calls.values():
            if len(call.holds) != 1 or len(call.settled) != 1 or call.held != 0:
                self.wrong(
                    f"call {call.number}: {len(call.holds)} holds, {len(call.settled)} "
                    f"settlements, {call.held} still set aside"
                )
        self.counts["calls in the ledger"] = len(self._calls)

    def _read_entry(self, row: dict[str, Any]) -> None:
        call = self._calls.setdefault(row["call"], _Call(row["call"]))
        if call.settled:
            self.wrong(f"call {call.number} goes on after it was settled")
        call.held += row["held"]
        if row["kind"] == _HOLD:
            call.holds.append(row)
        elif row["kind"] == _SETTLE:
            call.settled.append(row)
        if call.held < 0:
            self.wrong(f"call {call.number} lets go of more than was set aside")

    def _check_sums(self) -> None:
        sums = self._ask(
            "SELECT account, sum(wallet) AS wallet, sum(held) AS held, sum(revenue) AS revenue,"
            " sum(source) AS source FROM entries GROUP BY account ORDER BY account"
        )
        if sums != self._ask("SELECT * FROM balances ORDER BY account"):
            self.wrong("the kept balances are not the sums of the ledger")
        for row in sums:
            if row["wallet"] != -row["source"] - row["revenue"] or row["held"]:
                self.wrong(f"account {row['account']}: not its top-ups less its charges")
        rolled = self._ask("SELECT sum(charged) AS charged, sum(calls) AS calls FROM rollups")[0]
        settled = [row for call in self._calls.values() for row in call.settled]
        if (rolled["charged"] or 0, rolled["calls"] or 0) != (
            sum(row["revenue"] for row in settled),
            len(settled),
        ):
            self.wrong("the roll-ups are not the sums of what was settled")

    def _join(self) -> None:
        """Each hold is one client's call."""
        known = {
            (fact["round"], fact["length"] // 3 + 8): marker
            for marker, fact in self._clients.items()
        }
        if len(known) != len(self._clients):
            self.wrong("two calls of a round have the same length: the driver is at fault")
        for call in self._calls.values():
            if not call.holds:
                continue
            marker = known.get((self._round_of.get(call.boot), call.holds[0]["input"]))
            if marker is None:
                self.wrong(f"call {call.number} is no client's call")
            elif marker in self._call_of:
                self.wrong(f"calls {self._call_of[marker].number} and {call.number} are one call")
            else:
                self._call_of[marker] = call

    def _check_executed(self, marker: str, facts: list[dict[str, Any]]) -> None:
        self.counts["executed by the provider"] += 1
        begun = sum(fact["is"] == "begin" for fact in facts)
        if begun != 1:
            self.wrong(f"{marker} was executed {begun} times")
        if marker not in self._call_of:
            self.wrong(f"{marker} was executed by the provider, and the ledger knows nothing of it")

    def _check_seen(self, fact: dict[str, Any]) -> None:
        """What a client saw is in the ledger under the id that it was told."""
        marker, told = fact["user"], fact["id"]
        self.counts["client calls"] += 1
        call = self._call_of.get(marker)
        if told is not None:
            boot = self._boot_of.get(told[4:20])
            number = None if boot is None else boot * _CALLS_PER_BOOT + int(told[20:], 16)
            if call is not None and call.number != number:
                self.wrong(f"{marker} was told the id {told}, the ledger has call {call.number}")
        if not fact["complete"]:
            return
        self.counts[f"seen complete, {fact['status']}"] += 1
        if fact["status"] == 200:
            self._check_complete(fact, call)
        elif call is not None and call.settled and call.charge:
            self.wrong(f"{marker} failed with {fact['status']} and was charged {call.charge}")
        if fact["status"] >= 500 and fact["status"] != 502:
            self.counts["answers of 500 and above"] += 1
            if fact["status"] == 500:
                self.wrong(f"{marker} was answered with 500")

    def _check_complete(self, fact: dict[str, Any], call: _Call | None) -> None:
        marker = fact["user"]
        if call is None or not call.settled:
            self.wrong(f"{marker} was seen complete and is not in the ledger")
            return
        allowed = (0, _OVER_HOLD, _STOPPED)
        if fact["stream"] and fact.get("error"):
            allowed = (*allowed, _CUT_OFF)
        if call.flag not in allowed:
            self.wrong(f"{marker} was seen complete and is flagged {call.flag}")
        if not fact["stream"] and _nanos(fact["cost"]) != call.charge:
            self.wrong(f"{marker} was told {fact['cost']}, charged were {call.charge}")

    def _check_charge(self, marker: str, call: _Call) -> None:
        if not call.settled or not call.holds:
            return
        self.counts[f"settled with flag {call.flag}"] += 1
        fact, facts = self._clients[marker], self._provider.get(marker, [])
        ended = {one["is"] for one in facts}
        estimate = self._cost(fact["length"] // 3 + 8, 0, 0)
        if call.holds[0]["estimate"] != estimate:
            self.wrong(f"{marker}: its input is estimated at {call.holds[0]['estimate']}")
        held = -int(call.settled[0]["held"])
        if call.flag == _RECOVERED:
            if call.charge != min(estimate, held) or call.boot == self._last_boot:
                self.wrong(f"{marker} was recovered at {call.charge}, its input is {estimate}")
        elif not facts:
            self._check_unreached(marker, call, estimate)
        elif call.flag == 0 and "failed" in ended:
            if call.charge:
                self.wrong(f"{marker} failed at the provider and was charged {call.charge}")
        else:
            self._check_reached(marker, call, estimate, self._reported(facts))

    def _check_reached(self, marker: str, call: _Call, estimate: int, cost: int) -> None:
        held = -int(call.settled[0]["held"])
        if call.flag == 0:
            if call.charge != cost:
                self.wrong(f"{marker} was charged {call.charge}, reported were {cost}")
        elif call.flag == _OVER_HOLD:
            # By the provider's count, or by the gateway's own where it ended the stream.
            own = self._cost(call.holds[0]["input"], 0, call.settled[0]["output"])
            if call.charge != held or held >= max(cost, own):
                self.wrong(f"{marker} is flagged as over its hold and was charged {call.charge}")
        elif call.flag in (_ABANDONED, _CUT_OFF, _STOPPED):
            if not min(estimate, held) <= call.charge <= held:
                self.wrong(f"{marker} left after a while and was charged {call.charge} of {held}")
        else:
            self.wrong(f"{marker} is flagged {call.flag}, for which there was no reason")

    def _check_unreached(self, marker: str, call: _Call, estimate: int) -> None:
        if call.charge == 0:
            self.counts["never reached the provider, free"] += 1
        elif call.flag == _ABANDONED and call.charge == estimate:
            self.counts["sent, but reset before it was read"] += 1
        else:
            self.wrong(f"{marker} never reached the provider and was charged {call.charge}")

    def _reported(self, facts: list[dict[str, Any]]) -> int:
        usage = facts[0]["usage"]
        cached = usage["prompt_tokens_details"]["cached_tokens"]
        return self._cost(usage["prompt_tokens"] - cached, cached, usage["completion_tokens"])

    def _cost(self, fresh: int, cached: int, answer: int) -> int:
        """Nanodollars, rounded up."""
        prices = self._prices
        exact = (
            fresh * prices["input_per_mtok"]
            + cached * prices["cached_input_per_mtok"]
            + answer * prices["output_per_mtok"]
        )
        return int(-(-exact * 1_000 // 1))  # a dollar a million tokens is 1,000 nanodollars a token


def check(folder: Path) -> tuple[list[str], dict[str, int]]:
    """What is wrong, and how much of everything there was."""
    checker = Checker(folder)
    checker.run()
    return checker.problems, dict(checker.counts)


def _nanos(dollars: str) -> int:
    return int(Fraction(dollars) * 1_000_000_000)


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in _text(path).splitlines()]
