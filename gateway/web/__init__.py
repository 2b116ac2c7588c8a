"""The edge: the only room that imports aiohttp.web. Knows HTTP and nothing of money."""
