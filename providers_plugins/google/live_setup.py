"""A session in OpenAI's words, and the one message that sets it up at the provider's."""

from __future__ import annotations

import re
from typing import Any

import msgspec
from msgspec import Raw

from gateway.sdk import Call, invalid
from providers_plugins.google.answer import UNREADABLE
from providers_plugins.google.home import generation

Session = dict[str, Any]
RATE = 24_000
_PCM = {"type": "audio/pcm", "rate": RATE}
# Voices of OpenAI's, and those of the provider's that stand for them in speech as well.
_VOICES = {
    "alloy": "Kore", "ash": "Charon", "ballad": "Orus", "cedar": "Sadaltager", "coral": "Aoede",
    "echo": "Puck", "fable": "Fenrir", "marin": "Sulafat", "nova": "Leda", "onyx": "Algenib",
    "sage": "Callirrhoe", "shimmer": "Zephyr", "verse": "Iapetus",
}  # fmt: skip
_LEVELS = {
    "none": "MINIMAL", "minimal": "MINIMAL", "low": "LOW", "medium": "MEDIUM", "high": "HIGH",
    "xhigh": "HIGH",
}  # fmt: skip
_EAGER = {"low": "END_SENSITIVITY_LOW", "high": "END_SENSITIVITY_HIGH"}
_PLAIN = {
    "instructions": "", "output_modalities": ["audio"], "tools": [], "tool_choice": "auto",
    "max_output_tokens": "inf", "truncation": "auto",
}  # fmt: skip
_SETTINGS = frozenset({
    "instructions", "output_modalities", "tools", "tool_choice", "max_output_tokens",
    "temperature", "truncation", "reasoning",
})  # fmt: skip
# What a session tells of itself; a client that sends it back wishes for nothing.
_TOLD = frozenset({"type", "object", "id", "model", "expires_at", "prompt", "client_secret"})
_VAD = frozenset({
    "type", "create_response", "interrupt_response", "prefix_padding_ms", "silence_duration_ms",
    "eagerness",
})  # fmt: skip
_OFF = {"effort": "none"}  # these models can't be kept from thinking
_VOICE = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")


def begun(call: Call) -> Session:
    """The session as it is before anyone has asked for anything."""
    vad = {"type": "server_vad", "create_response": True, "interrupt_response": True}
    return {
        "type": "realtime",
        "object": "realtime.session",
        "model": call.body.value("model") if "model" in call.body else call.upstream,
        **_PLAIN,
        "audio": {
            "input": {
                "format": dict(_PCM),
                "transcription": None,
                "noise_reduction": None,
                "turn_detection": vad,
            },
            "output": {"format": dict(_PCM)},
        },
    }


def opened(call: Call) -> tuple[Session, tuple[str, ...]]:
    """The session that a call asks for, and what of it is lost; or a Fault that names a field."""
    raw = call.body.get("session")
    if raw is None or raw == b"null":
        return begun(call), ()
    return changed(begun(call), raw, call.upstream)


def changed(session: Session, raw: bytes, upstream: str) -> tuple[Session, tuple[str, ...]]:
    """The session with these members laid over it, and what of them is lost."""
    try:
        given: Session = dict(msgspec.json.decode(raw, type=dict[str, Any]))
        if "tools" in given:
            given["tools"] = _tools(raw)
    except UNREADABLE:
        raise invalid("'session' must be an object.", "session") from None
    _refuse(given)
    audio = given.pop("audio", None)
    merged = {**session, **{name: given[name] for name in given if name in _SETTINGS}}
    merged |= {name: value for name, value in _PLAIN.items() if merged[name] is None}
    if audio is not None:
        merged["audio"] = {
            side: {**session["audio"][side], **_object(audio.get(side), f"session.audio.{side}")}
            for side in ("input", "output")
        }
        _refuse_audio(merged["audio"])
    lost = _lost(session, given, upstream)
    if audio is not None:
        lost += _lost_of_input(_object(audio.get("input"), ""), merged["audio"]["input"])
        lost += _lost_of_output(_object(audio.get("output"), ""))
        lost += [f"audio.{name}" for name in audio if name not in ("input", "output")]
    return merged, tuple(f"session.{name}" for name in lost)


def _tools(raw: bytes) -> list[dict[str, Raw]]:
    """Tools, each member as the bytes it came as."""
    try:
        tools = msgspec.json.decode(raw, type=dict[str, Raw])["tools"]
        found = msgspec.json.decode(tools, type=list[dict[str, Raw]] | None) or []
        kinds = [msgspec.json.decode(tool.get("type", Raw(b'"function"'))) for tool in found]
        names = [msgspec.json.decode(tool.get("name", Raw(b"null"))) for tool in found]
    except UNREADABLE:
        raise invalid("'tools' must be a list of objects.", "session.tools") from None
    if any(kind != "function" for kind in kinds):
        raise invalid("This model takes tools of the type 'function' alone.", "session.tools")
    if not all(isinstance(name, str) and name for name in names):
        raise invalid("Each tool needs a name.", "session.tools")
    return found


def _refuse(given: Session) -> None:
    """What would make another session than was asked for."""
    if given.get("type") not in (None, "realtime"):
        raise invalid("This model holds conversations: 'type' must be 'realtime'.", "session.type")
    modalities = given.get("output_modalities")
    if modalities not in (None, ["audio"], ["text"], ["text", "audio"], ["audio", "text"]):
        raise invalid(
            'Ask for ["audio"] or ["text"]; audio has a transcript.', "session.output_modalities"
        )
    if not isinstance(given.get("instructions", ""), str | None):
        raise invalid("'instructions' must be a string.", "session.instructions")
    if given.get("tool_choice", "auto") not in ("auto", "none", None):
        raise invalid("This model chooses its tools itself.", "session.tool_choice")
    most = given.get("max_output_tokens", "inf")
    if most not in ("inf", None) and not _is_whole(most, 1):
        raise invalid("A number from 1 on, or 'inf'.", "session.max_output_tokens")
    heat = given.get("temperature")
    if heat is not None and (isinstance(heat, bool) or not isinstance(heat, int | float)):
        raise invalid("'temperature' must be a number.", "session.temperature")
    if given.get("prompt") is not None:
        raise invalid("Stored prompts are not known here.", "session.prompt")
    if given.get("audio") is not None:
        _object(given["audio"], "session.audio")


def _refuse_audio(audio: Session) -> None:
    for side in ("input", "output"):
        form = _object(audio[side].get("format"), f"session.audio.{side}.format")
        if form.get("type", "audio/pcm") != "audio/pcm" or form.get("rate", RATE) != RATE:
            raise invalid(
                "This model takes and makes audio/pcm alone: 16 bits, one channel, 24 kHz.",
                f"session.audio.{side}.format",
            )
    voice = audio["output"].get("voice")
    if voice is not None and not (isinstance(voice, str) and _VOICE.match(voice)):
        raise invalid("A voice is named by a string.", "session.audio.output.voice")
    where = "session.audio.input.turn_detection"
    vad = audio["input"].get("turn_detection")
    if vad is None:
        return
    vad = _object(vad, where)
    if vad.get("type") not in ("server_vad", "semantic_vad"):
        raise invalid("'server_vad', 'semantic_vad' or null.", f"{where}.type")
    if vad.get("create_response") is False:
        raise invalid(
            "This model answers each turn that it detects. Use null and input_audio_buffer.commit "
            "to say yourself when a turn ends.",
            f"{where}.create_response",
        )
    for name in ("prefix_padding_ms", "silence_duration_ms"):
        if vad.get(name) is not None and not _is_whole(vad[name], 0):
            raise invalid("A number of milliseconds.", f"{where}.{name}")


def _lost(before: Session, given: Session, upstream: str) -> list[str]:
    """What was asked for and is not done, by the client's names."""
    known = _SETTINGS | _TOLD
    lost = [name for name in given if name not in known and given[name] is not None]
    if given.get("model") not in (None, before["model"]):
        lost.append("model")
    if isinstance(given.get("truncation"), dict):
        lost.append("truncation")
    reasoning = given.get("reasoning")
    if reasoning is not None and (reasoning == _OFF or not _level(reasoning, upstream)):
        lost.append("reasoning")
    return lost


def _lost_of_input(given: Session, merged: Session) -> list[str]:
    lost = []
    for name in given:
        known = name in ("format", "transcription", "turn_detection")
        if not known and given[name] is not None:
            lost.append(name)
    transcription = given.get("transcription")
    if isinstance(transcription, dict):
        lost += [f"transcription.{name}" for name, said in transcription.items() if said]
    vad = merged.get("turn_detection")
    if "turn_detection" in given and isinstance(vad, dict):
        lost += [f"turn_detection.{name}" for name in vad if name not in _VAD and vad[name]]
        if vad["type"] == "semantic_vad":
            lost.append("turn_detection.type")
    return [f"audio.input.{name}" for name in lost]


def _lost_of_output(given: Session) -> list[str]:
    lost = [
        name
        for name, said in given.items()
        if name not in ("format", "voice") and said not in (None, 1, 1.0)
    ]
    if given.get("voice") in _VOICES:
        lost.append("voice")
    return [f"audio.output.{name}" for name in lost]


def setup(session: Session, model: str) -> bytes:
    """The provider's first message. Members stand in one fixed order."""
    written: dict[str, Any] = {"model": model, "generationConfig": _generation(session, model)}
    if session["instructions"]:
        written["systemInstruction"] = {"parts": [{"text": session["instructions"]}]}
    if session["tools"] and session["tool_choice"] != "none":
        functions = [_function(tool) for tool in session["tools"]]
        written["tools"] = [{"functionDeclarations": functions}]
    turns = _turns(session["audio"]["input"].get("turn_detection"))
    if turns:
        written["realtimeInputConfig"] = turns
    if session["audio"]["input"].get("transcription") is not None:
        written["inputAudioTranscription"] = {}
    if "audio" in session["output_modalities"]:
        written["outputAudioTranscription"] = {}
    if session["truncation"] != "disabled":
        written["contextWindowCompression"] = {"slidingWindow": {}}
    return msgspec.json.encode({"setup": written})


def _generation(session: Session, model: str) -> dict[str, Any]:
    audio = "audio" in session["output_modalities"]
    written: dict[str, Any] = {"responseModalities": ["AUDIO" if audio else "TEXT"]}
    if session["max_output_tokens"] not in ("inf", None):
        written["maxOutputTokens"] = session["max_output_tokens"]
    if session.get("temperature") is not None:
        written["temperature"] = session["temperature"]
    voice = session["audio"]["output"].get("voice")
    if voice and audio:
        named = {"voiceName": _VOICES.get(voice, voice)}
        written["speechConfig"] = {"voiceConfig": {"prebuiltVoiceConfig": named}}
    level = _level(session.get("reasoning"), model)
    if level:
        written["thinkingConfig"] = {"thinkingLevel": level}
    return written


def _level(reasoning: Any, model: str) -> str:
    effort = reasoning.get("effort") if isinstance(reasoning, dict) else None
    if not isinstance(effort, str) or generation(model) < (3, 0):
        return ""
    return _LEVELS.get(effort, "")


def _function(tool: dict[str, Raw]) -> dict[str, Any]:
    written: dict[str, Any] = {"name": tool["name"]}
    if bytes(tool.get("description", b"null")) != b"null":
        written["description"] = tool["description"]
    if bytes(tool.get("parameters", b"null")) != b"null":
        written["parametersJsonSchema"] = tool["parameters"]
    return written


def _turns(vad: Any) -> dict[str, Any]:
    """How turns are told apart; nothing where the provider's own way will do."""
    if vad is None:
        return {"automaticActivityDetection": {"disabled": True}}
    detection: dict[str, Any] = {}
    for ours, theirs in (
        ("prefix_padding_ms", "prefixPaddingMs"),
        ("silence_duration_ms", "silenceDurationMs"),
    ):
        if vad.get(ours) is not None:
            detection[theirs] = vad[ours]
    for eagerness, sensitivity in _EAGER.items():
        if vad.get("eagerness") == eagerness:
            detection["endOfSpeechSensitivity"] = sensitivity
    written: dict[str, Any] = {"automaticActivityDetection": detection} if detection else {}
    if vad.get("interrupt_response") is False:
        written["activityHandling"] = "NO_INTERRUPTION"
    return written


def _object(given: Any, where: str) -> Session:
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise invalid(f"'{where}' must be an object.", where)
    return given


def _is_whole(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least
