"""A session in the words of OpenAI's protocol today, and in this host's, which are older."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw

from gateway.sdk import Call, invalid

Session = dict[str, Any]
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
RATE = 24_000
_PCM = {"type": "audio/pcm", "rate": RATE}
# Sound comes in as WAV, by its name at this rate; it goes out as bare samples, at the same.
_HEARD, _SPOKEN = "wav24", "pcm"
_VOICES = frozenset({
    "alloy", "ash", "ballad", "cedar", "coral", "echo", "fable", "marin", "nova", "onyx", "sage",
    "shimmer", "verse",
})  # fmt: skip
_HEARING = ("format", "transcription", "turn_detection", "noise_reduction")
_SAME = ("instructions", "temperature")
# What a session tells of itself; a client that sends it back wishes for nothing.
_TOLD = frozenset({"type", "object", "id", "model", "expires_at", "client_secret"})
_KNOWN = _TOLD | {
    "output_modalities", "audio", "tools", "tool_choice", "max_output_tokens", "beta_fields",
    *_SAME,
}  # fmt: skip
# Of OpenAI's own, what this host has no word for; other names are its own, and go to it.
_LACKING = frozenset(
    {"include", "parallel_tool_calls", "prompt", "reasoning", "tracing", "truncation"}
)
_PLAIN: Session = {
    "output_modalities": ["audio"], "tools": [], "tool_choice": "auto", "max_output_tokens": "inf",
    "instructions": "", "beta_fields": {},
}  # fmt: skip
_VAD = frozenset({
    "type", "threshold", "prefix_padding_ms", "silence_duration_ms", "create_response",
    "interrupt_response",
})  # fmt: skip


def begun(call: Call) -> Session:
    """The session as OpenAI's begin: the host finds out when someone speaks."""
    vad = {"type": "server_vad", "create_response": True, "interrupt_response": True}
    return {
        "type": "realtime",
        "object": "realtime.session",
        "model": call.body.value("model") if "model" in call.body else call.upstream,
        **_PLAIN,
        "audio": {
            "input": {"format": dict(_PCM), "transcription": None, "turn_detection": vad},
            "output": {"format": dict(_PCM)},
        },
    }


def opened(call: Call) -> tuple[Session, tuple[str, ...]]:
    """The session that a call asks for, and what of it is lost; or a Fault that names a field."""
    raw = call.body.get("session")
    if raw is None or raw == b"null":
        return begun(call), ()
    return changed(begun(call), raw)


def changed(session: Session, raw: bytes) -> tuple[Session, tuple[str, ...]]:
    """The session with these members laid over it, and what of them is lost."""
    try:
        given: Session = msgspec.json.decode(raw, type=dict[str, Any])
        if given.get("tools") is not None:
            tools = msgspec.json.decode(raw, type=dict[str, Raw])["tools"]
            given["tools"] = msgspec.json.decode(tools, type=list[Raw])
    except UNREADABLE:
        raise invalid("'session' must be an object, its tools a list.", "session") from None
    _refuse(given)
    audio = given.pop("audio", None)
    unset = _LACKING | _TOLD
    merged = {**session, **{name: given[name] for name in given if name not in unset}}
    merged |= {name: value for name, value in _PLAIN.items() if merged.get(name) is None}
    lost = [name for name in given if name in _LACKING and given[name] is not None]
    if given.get("model") not in (None, session["model"]):
        lost.append("model")
    if audio is not None:
        merged["audio"] = {
            side: {**session["audio"][side], **_object(audio.get(side), f"session.audio.{side}")}
            for side in ("input", "output")
        }
        _refuse_audio(merged["audio"])
        lost += _lost_audio(audio)
    return merged, tuple(f"session.{name}" for name in lost)


def _refuse(given: Session) -> None:
    if given.get("type") not in (None, "realtime"):
        raise invalid("This model holds conversations: 'type' must be 'realtime'.", "session.type")
    modalities = given.get("output_modalities")
    if modalities not in (None, ["audio"], ["text"], ["text", "audio"], ["audio", "text"]):
        raise invalid(
            'Ask for ["audio"] or ["text"]; audio has a transcript.', "session.output_modalities"
        )
    if given.get("tool_choice", "auto") not in ("auto", "none", None):
        raise invalid("This model chooses its tools itself.", "session.tool_choice")
    if given.get("prompt") is not None:
        raise invalid("Stored prompts are not known here.", "session.prompt")
    for name in ("audio", "beta_fields"):
        _object(given.get(name), f"session.{name}")


def _refuse_audio(audio: Session) -> None:
    for side in ("input", "output"):
        form = _object(audio[side].get("format"), f"session.audio.{side}.format")
        if form.get("type", "audio/pcm") != "audio/pcm" or form.get("rate", RATE) != RATE:
            raise invalid(
                "This model takes and makes audio/pcm alone: 16 bits, one channel, 24 kHz.",
                f"session.audio.{side}.format",
            )
    where = "session.audio.input.turn_detection"
    vad = _object(audio["input"].get("turn_detection"), where)
    if vad and vad.get("type") not in ("server_vad", "semantic_vad", "client_vad"):
        raise invalid("'server_vad', 'semantic_vad' or null.", f"{where}.type")


def _lost_audio(audio: Session) -> list[str]:
    heard, spoken = _object(audio.get("input"), ""), _object(audio.get("output"), "")
    lost = [
        f"input.{name}" for name, said in heard.items() if name not in _HEARING and said is not None
    ]
    for part in ("transcription", "turn_detection"):
        said = heard.get(part)
        if isinstance(said, dict):
            known = _VAD if part == "turn_detection" else frozenset({"type"})
            lost += [f"input.{part}.{name}" for name in said if name not in known and said[name]]
    vad = heard.get("turn_detection")
    if isinstance(vad, dict) and vad.get("type") == "semantic_vad":
        lost.append("input.turn_detection.type")
    lost += [
        f"output.{name}"
        for name, said in spoken.items()
        if name not in ("format", "voice") and said not in (None, 1, 1.0)
    ]
    voice = spoken.get("voice")
    if isinstance(voice, str) and voice in _VOICES:
        lost.append("output.voice")
    return [f"audio.{name}" for name in lost]


def update(session: Session, upstream: str) -> bytes:
    """The whole session, each time: what is left out would go back to the host's own."""
    audio = session["audio"]
    spoken = "audio" in session["output_modalities"]
    written: Session = {
        "model": upstream,
        "modalities": ["text", "audio"] if spoken else ["text"],
        **{name: session[name] for name in _SAME if session.get(name) not in (None, "")},
        "input_audio_format": _HEARD,
        "output_audio_format": _SPOKEN,
        "turn_detection": _turns(audio["input"].get("turn_detection")),
        "tools": [] if session["tool_choice"] == "none" else session["tools"],
        "beta_fields": {
            "chat_mode": "audio", "tts_source": "e2e", "auto_search": False,
            **session["beta_fields"],
        },
    }  # fmt: skip
    voice = audio["output"].get("voice")
    if isinstance(voice, str) and voice not in _VOICES:
        written["voice"] = voice
    if audio["input"].get("noise_reduction") is not None:
        written["input_audio_noise_reduction"] = audio["input"]["noise_reduction"]
    if session["max_output_tokens"] != "inf":
        written["max_response_output_tokens"] = session["max_output_tokens"]
    own = {name: value for name, value in session.items() if name not in _KNOWN}
    return msgspec.json.encode({"type": "session.update", "session": written | own})


def _turns(vad: Any) -> Session:
    if not isinstance(vad, dict):
        return {"type": "client_vad"}
    told = {name: vad[name] for name in vad if name in _VAD and vad[name] is not None}
    return told | {"type": "client_vad" if vad.get("type") == "client_vad" else "server_vad"}


def _object(given: Any, where: str) -> Session:
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise invalid(f"'{where}' must be an object.", where)
    return given
