"""Requests that clients send, and what is generally answered to them on OpenAI's wire."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

# Spaces, order and numbers as no JSON writer would put them: only bytes left alone stay so.
SCHEMA = (
    b'{"type":"object","required":["z"],"properties":{"z":{"type": "string"},'
    b'"a":{"type":"number","minimum":0.50}},"additionalProperties":false}'
)
UNKNOWN = b'{"b" : [1,  2.50],"a":null}'
_SAY = b'"messages":[{"role":"user","content":"Say h\\u00e9llo."}]'

PLAIN: Mapping[str, bytes] = {
    "chat": b'{"model":"client-model",' + _SAY + b"}",
    "completions": b'{"model":"client-model","prompt":"Say hello."}',
    "embeddings": b'{"model":"client-model","input":["one","two"]}',
    "messages": b'{"model":"client-model","max_tokens":50,' + _SAY + b"}",
    "responses": b'{"model":"client-model","input":"Say hello."}',
    "count_tokens": b'{"model":"client-model",' + _SAY + b"}",
    "realtime": b'{"model":"client-model","session":{"type":"realtime","instructions":"Hi."}}',
    "videos": b'{"model":"client-model","prompt":"A boat on a lake."}',
    "music": b'{"model":"client-model","prompt":"A waltz for two."}',
    "images": b'{"model":"client-model","prompt":"A cat."}',
    "image_edits": b'{"model":"client-model","prompt":"Turn it green.","images":'
    b'[{"image_url":"data:image/png;base64,iVBORw0KGgo="}]}',
}

# What a client of OpenAI's realtime protocol says, in its order.
SESSION: tuple[tuple[Literal["client"], bytes], ...] = tuple(
    ("client", event)
    for event in (
        b'{"type":"session.update","event_id":"e1","session":{"type":"realtime","instructions":'
        b'"Be short.","audio":{"input":{"turn_detection":{"type":"server_vad"}},"output":'
        b'{"voice":"Kore"}},"tools":[{"type":"function","name":"look","parameters":'
        + SCHEMA
        + b"}]}}",
        b'{"type":"input_audio_buffer.append","audio":"AAABAAIAAwA="}',
        b'{"type":"input_audio_buffer.commit"}',
        b'{"type":"conversation.item.create","item":{"type":"message","role":"user","content":'
        b'[{"type":"input_text","text":"Say h\\u00e9llo."}]}}',
        b'{"type":"response.create"}',
        b'{"type":"response.cancel"}',
        b'{"type":"conversation.item.truncate","item_id":"i","content_index":0,"audio_end_ms":9}',
        b'{"type":"no.such.event","event_id":"e9"}',
    )
)

TOOLS = (
    b'{"model":"client-model",' + _SAY + b',"tools":[{"type":"function","function":{"name":'
    b'"look","description":"Looks.","parameters":' + SCHEMA + b'}}],"tool_choice":"auto"}'
)

RICH: Mapping[str, tuple[bytes, ...]] = {
    "chat": (
        b'{"model":"client-model",' + _SAY + b',"temperature":0.50,"x_kit":' + UNKNOWN + b"}",
        TOOLS,
        b'{"model":"client-model","messages":[{"role":"system","content":"Be short."},'
        b'{"role":"user","content":[{"type":"text","text":"What is this?"},{"type":"image_url",'
        b'"image_url":{"url":"data:image/png;base64,iVBORw0KGgo="}}]}],"max_completion_tokens":9}',
        b'{"model":"client-model","messages":[{"role":"developer","content":"d"},{"role":"user",'
        b'"content":"u"},{"role":"assistant","content":null,"tool_calls":[{"id":"call_1","type":'
        b'"function","function":{"name":"look","arguments":"{\\"z\\": \\"q\\"}"}}]},{"role":"tool",'
        b'"tool_call_id":"call_1","content":"seen"}],"tools":[{"type":"function","function":'
        b'{"name":"look"}}]}',
        b'{"model":"client-model",' + _SAY + b',"response_format":{"type":"json_schema",'
        b'"json_schema":{"name":"s","schema":' + SCHEMA + b'}},"stop":["x"],"seed":7,"user":"u1",'
        b'"logit_bias":{"5":-1}}',
    ),
    "videos": (
        b'{"model":"client-model","prompt":"A boat.","duration_seconds":8,"aspect_ratio":"16:9"}',
        b'{"model":"client-model","prompt":"A boat.","seconds":"8","size":"1280x720"}',
        b'{"model":"client-model","prompt":"It sails.","duration":6.0,"resolution":"1080p",'
        b'"image":"data:image/png;base64,iVBORw0KGgo=","negative_prompt":"rain","seed":7,'
        b'"audio":true,"x_kit":' + UNKNOWN + b"}",
        b'{"model":"client-model","prompt":7}',
        b'{"model":"client-model","prompt":"A boat.","seconds":-1,"size":"wide"}',
        b'{"model":"client-model","prompt":"A boat.","image":{"image_url":[]},"n":2}',
    ),
    "music": (
        b'{"model":"client-model","prompt":"A waltz.","lyrics":"[Verse]\\nOne two three",'
        b'"response_format":"wav","duration":30}',
        b'{"model":"client-model","prompt":"A waltz.","instrumental":true,"seed":1,"x_kit":'
        + UNKNOWN
        + b"}",
        b'{"model":"client-model","prompt":[],"format":7}',
    ),
    "images": (
        b'{"model":"client-model","prompt":"H\\u00e9llo.","n":2,"size":"1024x1024","quality":'
        b'"high","response_format":"b64_json","output_format":"webp","user":"u1","stream":true}',
    ),
}

_HEAD = '"id":"c1","object":"chat.completion.chunk","created":1,"model":"m"'
_USAGE = (
    '{"prompt_tokens":7,"completion_tokens":5,"total_tokens":12,"prompt_tokens_details":'
    '{"cached_tokens":2},"completion_tokens_details":{"reasoning_tokens":1}}'
)


def _chunk(delta: str, finish: str = "null", usage: str = "") -> str:
    choice = f'{{"index":0,"delta":{delta},"finish_reason":{finish}}}'
    return f'data: {{{_HEAD},"choices":[{choice}]{usage}}}\n\n'


_LAST = f'data: {{{_HEAD},"choices":[],"usage":{_USAGE}}}\n\ndata: [DONE]\n\n'
_FUNCTION = '{"tool_calls":[{"index":0,"id":"t","type":"function","function":'

# Streams of hosts that speak OpenAI's wire, for adapters that pass them through.
COMPATIBLE: Mapping[str, str] = {
    "text": _chunk('{"role":"assistant","content":""}')
    + _chunk('{"content":"H\u00e9"}')
    + _chunk('{"content":"llo \U0001f600"}')
    + _chunk("{}", '"stop"')
    + _LAST,
    "comments and tools": ": waiting\r\n\r\n"
    + _chunk(_FUNCTION + '{"name":"look","arguments":""}}]}').replace("\n", "\r\n")
    + _chunk(_FUNCTION + '{"arguments":"{\\"z\\":"}}]}')
    + _chunk(_FUNCTION + '{"arguments":" \\"q\\"}"}}]}')
    + _chunk("{}", '"tool_calls"')
    + _LAST,
}
WHOLE = (
    '{"id":"c1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,'
    '"message":{"role":"assistant","content":"H\u00e9llo"},"finish_reason":"stop"}],"usage":'
    + _USAGE
    + "}"
)
# Bodies that providers and what stands in front of them send with a failure.
REFUSALS = (
    b"",
    b"{}",
    b"null",
    b"[]",
    b'"text"',
    b"<html><body>Bad gateway</body></html>",
    b"\xff\xfe\x00",
    b"[" * 5_000,
    b'{"error":null}',
    b'{"error":{"message":7,"code":{"a":[]},"type":[]}}',
    b'{"error":{"message":"Incorrect API key provided: %s.","type":"invalid_request_error"}}',
    b'{"message":"key %s is not allowed","code":1113}',
    b'{"error":"%s"}',
)
