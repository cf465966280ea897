"""The gateway: HTTP in, HTTP out. The only package, with `pricing.source`, that knows aiohttp."""
