"""`spendguard watch`: the cash-flow of all agents, live, and the past in the same views.

`board` and `rates` are what is known, pure; `feed` brings it from the sidecar, `replay` from the journal;
`actions` are what may be done, pure, and `acting` does it. Only `app`, `widgets`, `screens`, `modals` load
textual.
"""
