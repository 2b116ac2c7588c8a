"""The hosts that make videos and music: how they are asked, and bytes as they answer."""

from __future__ import annotations

import json
from base64 import b64encode
from dataclasses import dataclass, field
from typing import Any

from gateway.core.body import JsonBody
from gateway.domain import Credential, File, UpstreamRequest
from gateway.sdk import Adapter, Call, Encoded, Operation, Progress, Usage
from providers_plugins.alibaba import ADAPTER as ALIBABA
from providers_plugins.google import GOOGLE, VERTEX
from providers_plugins.minimax import ADAPTER as MINIMAX
from providers_plugins.openai import ADAPTER as OPENAI
from providers_plugins.xai import ADAPTER as XAI
from providers_plugins.zhipu import ADAPTER as ZHIPU

KEY = Credential("main", {"api_key": "sk-secret-secret-secret"})
TOKEN = Credential("main", {"access_token": "ya29-token-token", "project": "p-1"})
FILM = b"\x00\x00\x00\x18ftypmp42" + bytes(range(256))
TUNE = b"ID3\x04" + bytes(range(255, -1, -1))
PIXEL = "data:image/png;base64,iVBORw0KGgo="
BEARER = ("Authorization", "Bearer sk-secret-secret-secret")
JSON = ("Content-Type", "application/json")


class Bytes:
    """A file in memory."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def chunks(self) -> Any:
        return iter((self.data,))


PICTURE = File("input_reference", "a.png", "image/png", 4, Bytes(b"\x89PNG"))


@dataclass(frozen=True)
class Host:
    """One operation of one adapter, and where the catalog sends it."""

    adapter: Adapter
    upstream: str
    base_url: str = "https://host.example/v1"
    operation: str = "videos"
    credential: Credential = KEY
    region: str | None = None
    begins: Any = None  # its answer to the first request
    goes_on: Any = None
    ends: Any = None  # done, with a file
    fails: Any = None
    id: str = ""
    memo: str = ""  # when it ends
    options: dict[str, str] = field(default_factory=dict)

    @property
    def work(self) -> Operation:
        return self.adapter.operations[self.operation]

    def call(self, body: Any, *files: File, base_url: str | None = None) -> Call:
        raw = body if isinstance(body, bytes) else json.dumps({"model": "m", **body}).encode()
        return Call(
            operation=self.operation,
            upstream=self.upstream,
            base_url=self.base_url if base_url is None else base_url,
            body=JsonBody.parse(raw),
            region=self.region,
            options=self.options,
            id="call-1",
            files=files,
            boundary="boundary-nobody-knows" if files else "",
        )

    def build(self, body: Any, *files: File) -> UpstreamRequest:
        return self.work.build(self.call(body, *files), self.credential)

    def expects(self, body: Any) -> Usage:
        assert self.work.expects is not None
        return self.work.expects(self.call(body))

    def begun(self, answer: Any, body: Any = None) -> Progress:
        parse = self.work.parse
        assert callable(parse)
        reply = parse(self.call(body or {"prompt": "x"}), 200, {}, raw(answer))
        assert reply.progress is not None
        return reply.progress

    def polled(self, answer: Any, status: int = 200, memo: str = "", name: str = "") -> Progress:
        assert self.work.job is not None
        job = Progress("running", name or self.id, memo=memo)
        return self.work.job.polled(self.call({"prompt": "x"}), job, status, {}, raw(answer))


def raw(answer: Any) -> bytes:
    return answer if isinstance(answer, bytes) else json.dumps(answer).encode()


def sent(request: UpstreamRequest) -> Any:
    """The JSON of a request, its files in their places."""
    if not request.pieces:
        return json.loads(request.body)
    return json.loads(joined(request))


def joined(request: UpstreamRequest) -> bytes:
    """The body as it goes over the wire."""
    parts = []
    for piece in request.pieces:
        if isinstance(piece, bytes):
            parts.append(piece)
        else:
            file = piece.file if isinstance(piece, Encoded) else piece
            data = b"".join(file.source.chunks())
            parts.append(b64encode(data) if isinstance(piece, Encoded) else data)
    return b"".join(parts)


STUDIO = Host(
    GOOGLE,
    "veo-3.1-generate-preview",
    "https://generativelanguage.googleapis.com/v1beta",
    id="models/veo-3.1-generate-preview/operations/abc123",
    begins={"name": "models/veo-3.1-generate-preview/operations/abc123"},
    goes_on={"name": "models/veo-3.1-generate-preview/operations/abc123"},
    ends={
        "name": "models/veo-3.1-generate-preview/operations/abc123",
        "done": True,
        "response": {
            "@type": "type.googleapis.com/google.ai.generativelanguage.v1beta."
            "PredictLongRunningResponse",
            "generateVideoResponse": {
                "generatedSamples": [
                    {
                        "video": {
                            "uri": "https://generativelanguage.googleapis.com/v1beta/files/f1:"
                            "download?alt=media"
                        }
                    }
                ]
            },
        },
    },
    fails={
        "name": "models/veo-3.1-generate-preview/operations/abc123",
        "done": True,
        "error": {"code": 13, "message": "Internal error."},
    },
)
_CLOUD_NAME = (
    "projects/p-1/locations/us-central1/publishers/google/models/veo-3.1-generate-001/"
    "operations/0f-1"
)
CLOUD = Host(
    VERTEX,
    "veo-3.1-generate-001",
    "https://aiplatform.googleapis.com/v1",
    credential=TOKEN,
    region="us-central1",
    id=_CLOUD_NAME,
    begins={"name": _CLOUD_NAME},
    goes_on={"name": _CLOUD_NAME, "done": False},
    ends={
        "name": _CLOUD_NAME,
        "done": True,
        "response": {
            "@type": "type.googleapis.com/cloud.ai.large_models.vision.GenerateVideoResponse",
            "raiMediaFilteredCount": 0,
            "videos": [{"bytesBase64Encoded": b64encode(FILM).decode(), "mimeType": "video/mp4"}],
        },
    },
    fails={"name": _CLOUD_NAME, "done": True, "error": {"code": 3, "message": "A bad picture."}},
)
_FINE = {"status_code": 0, "status_msg": "success"}
HAILUO = Host(
    MINIMAX,
    "MiniMax-Hailuo-2.3",
    "https://api.minimax.io/v1",
    id="176843862716480",
    memo="176844028768320",
    begins={"task_id": "176843862716480", "base_resp": _FINE},
    goes_on={
        "task_id": "176843862716480",
        "status": "Processing",
        "file_id": "",
        "base_resp": _FINE,
    },
    ends={
        "file": {
            "file_id": 176844028768320,
            "bytes": 5_896_337,
            "created_at": 1_700_469_398,
            "filename": "output_aigc.mp4",
            "purpose": "video_generation",
            "download_url": "https://cdn.hailuoai.com/prod/one.mp4?Expires=1&Signature=xyz%3D",
        },
        "base_resp": _FINE,
    },
    fails={
        "task_id": "176843862716480",
        "status": "Fail",
        "file_id": "",
        "base_resp": {"status_code": 1027, "status_msg": "output sensitive"},
    },
)
COG = Host(
    ZHIPU,
    "cogvideox-3",
    "https://open.bigmodel.cn/api/paas/v4",
    id="6961015770-8875817957674828620",
    begins={
        "id": "6961015770-8875817957674828620",
        "request_id": "8875817957674828620",
        "model": "cogvideox-3",
        "task_status": "PROCESSING",
    },
    goes_on={"model": "cogvideox-3", "request_id": "88", "task_status": "PROCESSING"},
    ends={
        "model": "cogvideox-3",
        "request_id": "88",
        "task_status": "SUCCESS",
        "video_result": [
            {
                "cover_image_url": "https://sfile.chatglm.cn/cover/0e89.png",
                "url": "https://sfile.chatglm.cn/video/0e89.mp4",
            }
        ],
    },
    fails={"model": "cogvideox-3", "request_id": "88", "task_status": "FAIL"},
)
GROK = Host(
    XAI,
    "grok-imagine-video",
    "https://api.x.ai/v1",
    id="c84748c1-5ec7-9c62-b013-dc6e71a83de7",
    memo="720p",
    begins={"request_id": "c84748c1-5ec7-9c62-b013-dc6e71a83de7"},
    goes_on={"status": "pending", "progress": 1},
    ends={
        "status": "done",
        "model": "grok-imagine-video",
        "progress": 100,
        "video": {"url": "https://vidgen.x.ai/one.mp4", "duration": 6, "respect_moderation": True},
    },
    fails={"status": "failed", "error": {"code": "internal", "message": "It broke."}},
)
_SORA = {
    "id": "video_68e1",
    "object": "video",
    "model": "sora-2",
    "created_at": 1_759_000_000,
    "size": "1280x720",
    "seconds": "8",
}
SORA = Host(
    OPENAI,
    "sora-2",
    "https://api.openai.com/v1",
    id="video_68e1",
    memo="720p",
    begins={**_SORA, "status": "queued", "progress": 0, "error": None},
    goes_on={**_SORA, "status": "in_progress", "progress": 33},
    ends={**_SORA, "status": "completed", "progress": 100, "completed_at": 1_759_000_100},
    fails={
        **_SORA,
        "status": "failed",
        "progress": 40,
        "error": {"code": "moderation_blocked", "message": "Blocked by our moderation system."},
    },
)
WAN = Host(
    ALIBABA,
    "wan2.6-t2v",
    "https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
    id="966cebcd-dedc-4962-af88",
    memo="720p",
    begins={
        "request_id": "c1209113",
        "output": {"task_id": "966cebcd-dedc-4962-af88", "task_status": "PENDING"},
    },
    goes_on={
        "request_id": "c2",
        "output": {"task_id": "966cebcd-dedc-4962-af88", "task_status": "RUNNING"},
    },
    ends={
        "request_id": "c3",
        "output": {
            "task_id": "966cebcd-dedc-4962-af88",
            "task_status": "SUCCEEDED",
            "video_url": "https://dashscope-result-sgp.oss.aliyuncs.com/one.mp4?Expires=1",
        },
        "usage": {"duration": 5, "output_video_duration": 5, "SR": 720, "video_count": 1},
    },
    fails={
        "request_id": "c4",
        "output": {
            "task_id": "966cebcd-dedc-4962-af88",
            "task_status": "FAILED",
            "code": "DataInspectionFailed",
            "message": "Output data may contain inappropriate content.",
        },
    },
)
FILMS = {
    "studio": STUDIO, "cloud": CLOUD, "hailuo": HAILUO, "cog": COG, "grok": GROK, "sora": SORA,
    "wan": WAN,
}  # fmt: skip

SINGER = Host(
    MINIMAX,
    "music-1.5",
    "https://api.minimax.io/v1",
    operation="music",
    begins={
        "data": {"audio": TUNE.hex(), "status": 2},
        "trace_id": "04ede0ab069fb1ba8be5156a24b1e081",
        "extra_info": {"music_duration": 25_364, "music_sample_rate": 44_100, "bitrate": 256_000},
        "analysis_info": None,
        "base_resp": _FINE,
    },
)
LYRIA = Host(
    VERTEX,
    "lyria-3-pro-preview",
    "https://aiplatform.googleapis.com/v1",
    operation="music",
    credential=TOKEN,
    region="global",
    begins={
        "id": "v1_abc",
        "status": "completed",
        "model": "lyria-3-pro-preview",
        "outputs": [
            {"type": "text", "text": "[Verse] One two three"},
            {"type": "audio", "mime_type": "audio/mpeg", "data": b64encode(TUNE).decode()},
        ],
    },
)
OLD_LYRIA = Host(
    VERTEX,
    "lyria-002",
    "https://aiplatform.googleapis.com/v1",
    operation="music",
    credential=TOKEN,
    region="us-central1",
    begins={
        "predictions": [{"audioContent": b64encode(TUNE).decode(), "mimeType": "audio/wav"}],
        "deployedModelId": "1",
        "modelDisplayName": "Lyria 2",
    },
)
TUNES = {"singer": SINGER, "lyria": LYRIA, "old_lyria": OLD_LYRIA}
