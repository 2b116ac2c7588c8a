"""The benchmark: what Isthmus Gateway costs beside plain reverse proxies and other gateways."""
