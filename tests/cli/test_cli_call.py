"""`gateway call`: to a gateway, to something else, and to nobody."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from tests.cli.terminal import free_port, invoke, run, serving


def test_call(catalog: str, db: str) -> None:
    """`call` streams text or prints the whole JSON, and says in a line why it could not."""
    secret = json.loads(invoke("keys", "create", "app", "--db", db, "--json").stdout)["key"]
    with serving("--catalog", catalog, "--db", db, "--port", "0") as url:
        base = ["--url", f"{url}/v1"]
        good = run("call", "echo", "grüße, 世界", *base, "--key", secret)
        assert (good.returncode, good.stdout, good.stderr) == (0, "grüße, 世界\n", "")
        narrow = {"PYTHONIOENCODING": "ascii", "GATEWAY_KEY": secret}
        assert run("call", "echo", "é", *base, environ=narrow).stdout == "\\xe9\n"
        whole = json.loads(run("call", "echo", "hi", *base, "--key", secret, "--json").stdout)
        assert whole["choices"][0]["message"]["content"] == "hi"
        for arguments, told in (
            (["call", "nope", "hi", "--key", secret], "404: The model 'nope'"),
            (["call", "nope", "hi", "--key", secret, "--json"], "404: The model 'nope'"),
            (["call", "keyless-slug", "hi", "--key", secret], "503: "),
            (["call", "foreign-slug", "hi", "--key", secret], "501: "),
            (["call", "echo", "hi", "--key", "sk-wrong"], "401: "),
            (["call", "echo", "\udcff", "--key", secret], "400: "),
            (["call", "echo", "hi"], "Give a key with --key or GATEWAY_KEY."),
            (["call", "echo", "hi", "--key", "two\nlines"], "Copy it again."),
            (["call", "echo", "hi", "--key", "clé"], "Copy it again."),
        ):
            done = invoke(*arguments, *base)
            assert (done.exit_code, done.stdout) == (1, "")
            assert told in done.stderr
            assert len(done.stderr.splitlines()) == 1
            assert secret not in done.output


class _Foreign(BaseHTTPRequestHandler):
    """Some other server; what it answers stands in the path."""

    ANSWERS = {  # noqa: RUF012
        "/html": ("text/html", b"<h1>hello</h1>"),
        "/empty": ("text/event-stream", b""),
        "/half": ("text/event-stream", b'data: {"choices":[{"delta":{"content":"half"}}]}\n\n'),
        "/junk": ("text/event-stream", b"data: [1\n\n"),
        "/odd": ("text/event-stream", b'data: {"choices":[{"delta":null}]}\n\ndata: [DONE]\n\n'),
        "/error": ("text/event-stream", b'data: {"error":{"message":"the roof fell in"}}\n\n'),
        "/whole": ("application/json", b'{"choices":[{"message":{"content":"all"}}]}'),
        "/short": ("application/json", b'{"choi'),
    }

    def do_POST(self) -> None:
        kind, body = self.ANSWERS[self.path.removesuffix("/chat/completions")]
        self.send_response(200)
        self.send_header("Content-Type", kind)
        short = 100 if self.path.startswith("/short") else 0
        self.send_header("Content-Length", str(len(body) + short))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def test_call_to_something_else() -> None:
    """Whatever answers, `call` prints text that came and says what was wrong."""
    with HTTPServer(("127.0.0.1", 0), _Foreign) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            for path, code, out, told in (
                ("html", 1, "", "was not one of the gateway's"),
                ("empty", 1, "\n", "broke before"),
                ("half", 1, "half\n", "broke before"),
                ("junk", 1, "\n", "was not one of the gateway's"),
                ("odd", 0, "\n", ""),
                ("error", 1, "\n", "the roof fell in"),
                ("whole", 0, "all\n", ""),
                ("short", 1, "", "broke before"),
            ):
                url = f"http://127.0.0.1:{server.server_port}/{path}"
                done = invoke("call", "m", "hi", "--url", url)
                assert (path, done.exit_code, done.stdout) == (path, code, out)
                assert told in done.stderr
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    "url",
    ["nonsense", "http://", "ftp://x/", "http://127.0.0.1:99999/v1", "http://a..b/v1",
     "http://me:sk-maas-secret@127.0.0.1:1/v1", "http://no-such-host.invalid/v1", ""],
)  # fmt: skip
def test_call_to_nowhere(url: str) -> None:
    """An address that cannot be one is one sentence, without what may be a secret in it."""
    done = invoke("call", "m", "hi", "--url", url)
    assert done.exit_code == 1
    assert isinstance(done.exception, SystemExit)
    assert len(done.output.strip().splitlines()) == 1
    assert "sk-maas-secret" not in done.output


def test_nobody_there() -> None:
    """`call` says so when no gateway answers."""
    result = invoke("call", "echo", "hi", "--url", f"http://127.0.0.1:{free_port()}/v1")
    assert result.exit_code == 1
    assert "gateway serve" in result.output
