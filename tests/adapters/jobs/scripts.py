"""Hosts as handlers of a fake upstream: what each answers, path by path, byte for byte."""

from __future__ import annotations

import json
from typing import Any

from tests.adapters.jobs.hosts import FILM, FILMS
from tests.fake_upstream import Exchange, chunk, head

Answer = tuple[int, Any]


class Provider:
    """Answers each path with the next of its answers, the last one again and again."""

    def __init__(self, answers: dict[str, list[Answer]]) -> None:
        self.answers = answers

    async def __call__(self, exchange: Exchange) -> None:
        request = exchange.request
        path = f"{request.method} {request.path}"
        waiting = self.answers.get(path)
        if waiting is None:
            await exchange.send_json(404, {"error": {"message": f"no {path}"}})
            return
        status, body = waiting.pop(0) if len(waiting) > 1 else waiting[0]
        if isinstance(body, bytes):
            lines = [("Content-Type", "video/mp4"), ("Transfer-Encoding", "chunked")]
            await exchange.send(head(status, lines) + chunk(body[:7]) + chunk(body[7:]))
            await exchange.send(chunk(b""))
        else:
            await exchange.send_json(status, body)


def script(name: str, base: str, end: Any) -> dict[str, list[Answer]]:
    """What a host answers, path by path: it rests a while, has an outage, and comes to an end."""
    host = FILMS[name]
    limited: Answer = (429, {"error": {"code": 429, "message": "slow down"}})
    asked = [(200, host.goes_on), limited, (200, host.goes_on), (200, end)]
    begun: list[Answer] = [(200, host.begins)]
    film: list[Answer] = [(200, FILM)]
    if name == "hailuo":
        rest = f"?task_id={host.id}"
        told = {"task_id": host.id, "status": "Success", "file_id": int(host.memo)}
        last = (200, end) if end is host.fails else (200, told)
        return {
            "POST /v1/video_generation": begun,
            f"GET /v1/query/video_generation{rest}": [*asked[:3], last],
            f"GET /v1/files/retrieve?file_id={host.memo}": [(200, end)],
            "GET /film.mp4?Signature=xyz%3D": film,
        }
    paths = {
        "studio": (f"POST /v1/models/{host.upstream}:predictLongRunning", f"GET /v1/{host.id}"),
        "cloud": (
            "POST /v1/projects/p-1/locations/us-central1/publishers/google/models/"
            f"{host.upstream}:predictLongRunning",
            "POST /v1/projects/p-1/locations/us-central1/publishers/google/models/"
            f"{host.upstream}:fetchPredictOperation",
        ),
        "cog": ("POST /v1/videos/generations", f"GET /v1/async-result/{host.id}"),
        "grok": ("POST /v1/videos/generations", f"GET /v1/videos/{host.id}"),
        "sora": ("POST /v1/videos", f"GET /v1/videos/{host.id}"),
        "wan": (
            "POST /v1/services/aigc/video-generation/video-synthesis",
            f"GET /v1/tasks/{host.id}",
        ),
    }[name]
    return {
        paths[0]: begun,
        paths[1]: asked,
        "GET /film.mp4?Signature=xyz%3D": film,
        f"GET /v1/videos/{host.id}/content": film,
    }


LINKS = (
    "https://generativelanguage.googleapis.com/v1beta/files/f1:download?alt=media",
    "https://cdn.hailuoai.com/prod/one.mp4?Expires=1&Signature=xyz%3D",
    "https://sfile.chatglm.cn/video/0e89.mp4",
    "https://vidgen.x.ai/one.mp4",
    "https://dashscope-result-sgp.oss.aliyuncs.com/one.mp4?Expires=1",
)


def at_home(end: Any, url: str) -> Any:
    """The answer with its link leading to the fake."""
    text = json.dumps(end)
    for link in LINKS:
        text = text.replace(link, f"{url}/film.mp4?Signature=xyz%3D")
    return json.loads(text)
