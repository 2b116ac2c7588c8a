"""Speech both ways over a websocket: OpenAI's events are what clients of the gateway speak."""

from gateway.sdk import realtime

REALTIME = {"realtime": realtime.passing()}
