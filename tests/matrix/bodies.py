"""A request of each dialect that says all that can be said in it, for tests that spoil it."""

from __future__ import annotations

from typing import Any

from tests.matrix.said import PICTURE as PIC

SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string", "enum": ["a"]}},
    "required": ["city"],
    "additionalProperties": False,
}
CHAT: dict[str, Any] = {
    "model": "M",
    "messages": [
        {"role": "system", "content": "Be brief."},
        {
            "role": "developer",
            "content": [
                {"type": "text", "text": "x", "cache_control": {"type": "ephemeral", "ttl": "1h"}}
            ],
        },
        {
            "role": "user",
            "name": "bob",
            "content": [
                {"type": "text", "text": "hi"},
                {
                    "type": "image_url",
                    "image_url": {"url": "data:image/png;base64," + PIC, "detail": "low"},
                },
                {"type": "image_url", "image_url": {"url": "https://x.test/a.png"}},
                {
                    "type": "file",
                    "file": {
                        "filename": "a.pdf",
                        "file_data": "data:application/pdf;base64,AAAA",
                        "file_id": None,
                    },
                },
                {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
            ],
        },
        {
            "role": "assistant",
            "content": "ok",
            "refusal": None,
            "reasoning_content": "hm",
            "reasoning_details": [
                {
                    "type": "reasoning.text",
                    "text": "t",
                    "signature": "c2ln",
                    "format": "anthropic-claude-v1",
                    "index": 0,
                },
                {
                    "type": "reasoning.encrypted",
                    "data": "abc",
                    "id": "r1",
                    "format": "x",
                    "index": 1,
                },
            ],
            "tool_calls": [
                {
                    "id": "c1",
                    "type": "function",
                    "function": {"name": "get", "arguments": '{"city":"Oslo"}'},
                    "extra_content": {"google": {"thought_signature": "c2ln"}},
                }
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "sunny"},
        {"role": "user", "content": "go"},
    ],
    "tools": [
        {
            "type": "function",
            "function": {"name": "get", "description": "d", "parameters": SCHEMA, "strict": True},
        }
    ],
    "tool_choice": {"type": "function", "function": {"name": "get"}},
    "parallel_tool_calls": False,
    "response_format": {
        "type": "json_schema",
        "json_schema": {"name": "n", "schema": SCHEMA, "strict": True, "description": "d"},
    },
    "max_completion_tokens": 100,
    "max_tokens": 99,
    "temperature": 0.5,
    "top_p": 0.9,
    "top_k": 5,
    "stop": ["x"],
    "n": 1,
    "seed": 3,
    "presence_penalty": 0.1,
    "frequency_penalty": 0.1,
    "logit_bias": {"5": 1},
    "logprobs": False,
    "top_logprobs": None,
    "reasoning_effort": "low",
    "reasoning": {
        "effort": "low",
        "max_tokens": 2000,
        "enabled": True,
        "summary": "auto",
        "exclude": False,
    },
    "thinking": {"type": "enabled", "budget_tokens": 1024},
    "user": "u",
    "metadata": {"a": "b"},
    "service_tier": "auto",
    "verbosity": "low",
    "prompt_cache_key": "k",
    "stream": False,
    "stream_options": {"include_usage": True},
    "store": False,
    "usage": {"include": True},
    "max_cost": "5",
    "fidelity": "adapt",
    "web_search_options": {"a": 1},
    "modalities": ["text"],
    "prediction": {"type": "content", "content": "x"},
    "audio": {"voice": "v", "format": "wav"},
    "functions": [{"name": "old", "parameters": SCHEMA}],
    "function_call": {"name": "old"},
}
MESSAGES: dict[str, Any] = {
    "model": "M",
    "max_tokens": 2000,
    "system": [
        {"type": "text", "text": "Be brief", "cache_control": {"type": "ephemeral", "ttl": "5m"}}
    ],
    "messages": [
        {
            "role": "user",
            "content": [
                {
                    "type": "text",
                    "text": "hi",
                    "citations": [
                        {
                            "type": "char_location",
                            "cited_text": "a",
                            "document_index": 0,
                            "document_title": "t",
                            "start_char_index": 0,
                            "end_char_index": 1,
                        }
                    ],
                },
                {
                    "type": "image",
                    "source": {"type": "base64", "media_type": "image/png", "data": PIC},
                },
                {"type": "image", "source": {"type": "url", "url": "https://x.test/a.png"}},
                {
                    "type": "document",
                    "source": {"type": "text", "media_type": "text/plain", "data": "words"},
                    "title": "t",
                    "context": "c",
                    "citations": {"enabled": True},
                },
                {
                    "type": "document",
                    "source": {"type": "content", "content": [{"type": "text", "text": "x"}]},
                },
                {
                    "type": "document",
                    "source": {"type": "base64", "media_type": "application/pdf", "data": "AAAA"},
                    "cache_control": {"type": "ephemeral"},
                },
                {"type": "document", "source": {"type": "file", "file_id": "f1"}},
                {
                    "type": "search_result",
                    "source": "s",
                    "title": "t",
                    "content": [{"type": "text", "text": "x"}],
                    "citations": {"enabled": True},
                },
            ],
        },
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
                {"type": "redacted_thinking", "data": "abc"},
                {"type": "text", "text": "let me"},
                {
                    "type": "tool_use",
                    "id": "toolu_1",
                    "name": "get",
                    "input": {"city": "Oslo"},
                    "cache_control": {"type": "ephemeral"},
                },
                {
                    "type": "server_tool_use",
                    "id": "srv_1",
                    "name": "web_search",
                    "input": {"query": "x"},
                },
                {
                    "type": "web_search_tool_result",
                    "tool_use_id": "srv_1",
                    "content": [
                        {
                            "type": "web_search_result",
                            "url": "u",
                            "title": "t",
                            "encrypted_content": "e",
                            "page_age": None,
                        }
                    ],
                },
            ],
        },
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "toolu_1",
                    "is_error": True,
                    "content": [
                        {"type": "text", "text": "r"},
                        {
                            "type": "image",
                            "source": {"type": "base64", "media_type": "image/png", "data": PIC},
                        },
                    ],
                    "cache_control": {"type": "ephemeral"},
                },
                {"type": "text", "text": "go"},
            ],
        },
    ],
    "tools": [
        {
            "name": "get",
            "description": "d",
            "input_schema": SCHEMA,
            "strict": True,
            "cache_control": {"type": "ephemeral"},
            "type": "custom",
            "input_examples": [{"city": "a"}],
        },
        {"type": "web_search_20250305", "name": "web_search", "max_uses": 3},
    ],
    "tool_choice": {"type": "tool", "name": "get", "disable_parallel_tool_use": True},
    "thinking": {"type": "enabled", "budget_tokens": 1024},
    "temperature": 0.5,
    "top_p": 0.9,
    "top_k": 5,
    "stop_sequences": ["x"],
    "metadata": {"user_id": "u"},
    "stream": False,
    "service_tier": "auto",
    "output_config": {"effort": "low", "format": {"type": "json_schema", "schema": SCHEMA}},
    "output_format": {"type": "json_schema", "schema": SCHEMA},
    "container": "c",
    "mcp_servers": [{"type": "url", "url": "https://x", "name": "n"}],
    "context_management": {"edits": [{"type": "clear"}]},
    "inference_geo": "us",
    "usage": {"include": True},
    "max_cost": 5,
    "fidelity": "adapt",
}
COUNT = {
    k: v for k, v in MESSAGES.items() if k not in ("max_tokens", "stream", "usage", "max_cost")
}
RESPONSES: dict[str, Any] = {
    "model": "M",
    "instructions": "Be brief",
    "input": [
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "hi"},
                {
                    "type": "input_image",
                    "image_url": "data:image/png;base64," + PIC,
                    "detail": "auto",
                },
                {"type": "input_image", "file_id": "f"},
                {
                    "type": "input_file",
                    "filename": "a.pdf",
                    "file_data": "data:application/pdf;base64,AAAA",
                },
                {"type": "input_file", "file_url": "https://x.test/a"},
                {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "mp3"}},
            ],
        },
        {
            "type": "reasoning",
            "id": "rs_1",
            "summary": [{"type": "summary_text", "text": "hm"}],
            "content": [{"type": "reasoning_text", "text": "t"}],
            "encrypted_content": "abc",
            "status": "completed",
        },
        {
            "type": "message",
            "id": "msg_1",
            "role": "assistant",
            "status": "completed",
            "phase": "commentary",
            "content": [
                {
                    "type": "output_text",
                    "text": "ok",
                    "annotations": [
                        {
                            "type": "url_citation",
                            "url": "u",
                            "title": "t",
                            "start_index": 0,
                            "end_index": 1,
                        }
                    ],
                    "logprobs": [],
                },
                {"type": "refusal", "refusal": "no"},
            ],
        },
        {
            "type": "function_call",
            "id": "fc_1",
            "call_id": "c1",
            "name": "get",
            "arguments": '{"city":"Oslo"}',
            "status": "completed",
            "namespace": "n",
        },
        {
            "type": "function_call_output",
            "call_id": "c1",
            "output": [{"type": "input_text", "text": "sunny"}],
        },
        {"type": "custom_tool_call", "id": "x", "call_id": "c2", "name": "cust", "input": "free"},
        {"type": "custom_tool_call_output", "call_id": "c2", "output": "r"},
        {
            "type": "web_search_call",
            "id": "ws",
            "status": "completed",
            "action": {"type": "search", "query": "q"},
        },
        {"role": "developer", "content": "sys"},
        {"role": "user", "content": "go"},
    ],
    "tools": [
        {
            "type": "function",
            "name": "get",
            "description": "d",
            "parameters": SCHEMA,
            "strict": True,
        },
        {
            "type": "custom",
            "name": "cust",
            "description": "d",
            "format": {"type": "grammar", "syntax": "lark", "definition": "start: x"},
        },
        {"type": "web_search", "filters": {"allowed_domains": ["x"]}},
    ],
    "tool_choice": {"type": "function", "name": "get"},
    "parallel_tool_calls": False,
    "previous_response_id": None,
    "stream": False,
    "store": True,
    "max_output_tokens": 100,
    "temperature": 0.5,
    "top_p": 0.9,
    "text": {
        "format": {
            "type": "json_schema",
            "name": "n",
            "schema": SCHEMA,
            "strict": True,
            "description": "d",
        },
        "verbosity": "low",
    },
    "reasoning": {"effort": "low", "summary": "auto", "max_tokens": 2000, "enabled": True},
    "metadata": {"a": "b"},
    "include": ["reasoning.encrypted_content"],
    "truncation": "auto",
    "user": "u",
    "safety_identifier": "s",
    "prompt_cache_key": "k",
    "service_tier": "auto",
    "top_logprobs": 0,
    "max_tool_calls": 3,
    "conversation": None,
    "prompt": None,
    "stream_options": {"include_obfuscation": False},
    "usage": {"include": True},
    "max_cost": "1",
    "fidelity": "adapt",
    "background": False,
}
